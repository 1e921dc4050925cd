import django.db.models.deletion
from django.db import migrations, models

from rl_training.models import totals


def count(apps, schema_editor):
    totals.count_anew(apps.get_model("rl_training", "RunTotal"), apps.get_model("rl_training", "TrainingRun"))


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0006_roles_of_alerts"),
    ]

    operations = [
        migrations.CreateModel(
            name="RunTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("status", models.CharField(max_length=10)),
                ("measure", models.CharField(choices=[("duration", "Duration"), ("reward", "Reward")], max_length=10)),
                (
                    "bound",
                    models.CharField(help_text="The bucket's upper bound, as Prometheus writes it.", max_length=10),
                ),
                ("runs", models.PositiveBigIntegerField(default=0)),
                ("total", models.FloatField(default=0.0, help_text="The sum of the measures.")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="totals", to="rl_training.policystore"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("policy", "status", "measure", "bound"), name="total_once_per_bucket"
                    )
                ],
            },
        ),
        migrations.RunPython(count, migrations.RunPython.noop),
    ]
