import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("rl_training", "0008_workers_lost"),
    ]

    operations = [
        migrations.AddField(
            model_name="trainingrun",
            name="triggered_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The user who triggered the run; none for the schedule and the command.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
