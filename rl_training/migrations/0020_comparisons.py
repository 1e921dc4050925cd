import django.db.models.deletion
import django.utils.timezone
import rl_training.models.runs
from django.conf import settings
from django.db import migrations, models

from rl_training import roles


def grant(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0019_roles_of_deployments"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ComparedVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("place", models.PositiveSmallIntegerField()),
                (
                    "version",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="rl_training.policyversion"),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Comparison",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "comparison_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                ("size", models.PositiveSmallIntegerField(help_text="Number of versions.")),
                ("market", models.CharField(help_text="The market's label.", max_length=600)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="queued",
                        max_length=10,
                    ),
                ),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("queued_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "sent_at",
                    models.DateTimeField(
                        blank=True, help_text="When a task message was last sent to the workers.", null=True
                    ),
                ),
                (
                    "started_at",
                    models.DateTimeField(
                        blank=True, help_text="First start: bars until then are compared on.", null=True
                    ),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("attempt", models.PositiveSmallIntegerField(default=0)),
                (
                    "workers_lost",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Attempts that ended because the worker was lost."
                    ),
                ),
                (
                    "heartbeat_at",
                    models.DateTimeField(
                        blank=True, help_text="The worker's last, by the database's clock.", null=True
                    ),
                ),
                ("bars", models.PositiveIntegerField(blank=True, help_text="Decisions that were compared.", null=True)),
                ("bars_first", models.DateTimeField(blank=True, help_text="The bar of the first decision.", null=True)),
                ("bars_last", models.DateTimeField(blank=True, null=True)),
                (
                    "bars_digest",
                    models.CharField(blank=True, help_text="Of the bars from the first decision on.", max_length=64),
                ),
                (
                    "result",
                    models.JSONField(blank=True, help_text="See Comparison.as_dict() in core/evaluation.", null=True),
                ),
                ("error", models.TextField(blank=True)),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The user who requested it; none for the command.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "versions",
                    models.ManyToManyField(
                        related_name="comparisons",
                        through="rl_training.ComparedVersion",
                        to="rl_training.policyversion",
                    ),
                ),
            ],
            options={
                "ordering": ("-requested_at",),
            },
        ),
        migrations.AddField(
            model_name="comparedversion",
            name="comparison",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="rl_training.comparison"),
        ),
        migrations.AddIndex(
            model_name="comparison",
            index=models.Index(fields=["-requested_at"], name="comparison_requested_at"),
        ),
        migrations.AddIndex(
            model_name="comparison",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["status", "heartbeat_at"],
                name="comparison_active",
            ),
        ),
        migrations.AddConstraint(
            model_name="comparison",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                name="comparison_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="comparison",
            constraint=models.CheckConstraint(condition=models.Q(("size__gte", 2)), name="comparison_of_two_or_more"),
        ),
        migrations.AddConstraint(
            model_name="comparedversion",
            constraint=models.UniqueConstraint(fields=("comparison", "place"), name="compared_version_one_per_place"),
        ),
        migrations.AddConstraint(
            model_name="comparedversion",
            constraint=models.UniqueConstraint(fields=("comparison", "version"), name="compared_version_once"),
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
