from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0007_run_totals"),
    ]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="workers_lost",
            field=models.PositiveSmallIntegerField(default=0, help_text="Attempts that ended without a word."),
        ),
    ]
