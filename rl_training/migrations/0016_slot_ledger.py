import django.db.models.deletion
from django.db import migrations, models

from rl_training import roles


def grant(apps, schema_editor):
    roles.grant(apps)


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0015_run_bars_and_computing_environment"),
    ]

    operations = [
        migrations.CreateModel(
            name="SlotRange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("first_slot", models.DateTimeField()),
                ("last_slot", models.DateTimeField()),
                ("slots", models.PositiveIntegerField(help_text="How many, `interval_minutes` apart.")),
                ("interval_minutes", models.PositiveIntegerField()),
                (
                    "next_slot",
                    models.DateTimeField(
                        help_text="The policy's next slot after these: at most an interval later, earlier after the schedule was moved."
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        choices=[("ran", "Ran"), ("coalesced", "Coalesced"), ("skipped", "Skipped")], max_length=10
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("active_run", "Active Run"),
                            ("missed", "Missed"),
                            ("disabled", "Disabled"),
                            ("too_few_new_bars", "Too Few New Bars"),
                            ("invalid_settings", "Invalid Settings"),
                            ("already_ran", "Already Ran"),
                        ],
                        help_text="Why the slots made no run of their own.",
                        max_length=20,
                    ),
                ),
                (
                    "detail",
                    models.TextField(blank=True, help_text="The reason in words; of skipped slots, of the last one."),
                ),
                (
                    "lateness_seconds",
                    models.FloatField(
                        blank=True, help_text="From the slot to the time at which its run was queued.", null=True
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="slots",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The run that the slot made, or that stands for coalesced slots.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="slots",
                        to="rl_training.trainingrun",
                    ),
                ),
            ],
            options={
                "ordering": ("-first_slot",),
                "indexes": [models.Index(fields=["policy", "-id"], name="slots_newest")],
                "constraints": [
                    models.UniqueConstraint(fields=("policy", "first_slot"), name="slots_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("outcome", "ran")), fields=("run",), name="slots_one_per_run"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("lateness_seconds__isnull", False),
                                ("outcome", "ran"),
                                ("reason", ""),
                                ("run__isnull", False),
                                ("slots", 1),
                            ),
                            models.Q(
                                ("outcome", "coalesced"),
                                ("reason__in", ["active_run", "missed"]),
                                ("run__isnull", False),
                            ),
                            models.Q(
                                ("outcome", "skipped"),
                                ("reason__in", ["disabled", "too_few_new_bars", "invalid_settings", "already_ran"]),
                                ("run__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="slots_outcome_complete",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("last_slot", models.F("first_slot")), ("slots", 1)),
                            models.Q(("last_slot__gt", models.F("first_slot")), ("slots__gt", 1)),
                            _connector="OR",
                        ),
                        name="slots_in_order",
                    ),
                ],
            },
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
