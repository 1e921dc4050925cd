from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0011_help_texts"),
    ]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="curve",
            field=models.JSONField(
                blank=True, help_text="Rewards and PPO's metrics; see core/run/curves.py.", null=True
            ),
        ),
    ]
