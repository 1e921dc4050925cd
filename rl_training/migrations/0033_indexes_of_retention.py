from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0032_packed_json"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="decision",
            index=models.Index(
                condition=models.Q(("version__isnull", False)), fields=["version"], name="decision_of_version"
            ),
        ),
        migrations.AddIndex(
            model_name="slotrange",
            index=models.Index(condition=models.Q(("run__isnull", False)), fields=["run"], name="slots_of_run"),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("started_from__isnull", False)), fields=["started_from"], name="run_started_from"
            ),
        ),
    ]
