import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from rl_training import roles

OF_SYSTEM = ("beat_silent", "workers_silent", "outbox_lag", "failed_logins", "disk_full")
OF_POLICY = (
    *("run_failed", "success_rate", "duration", "reward", "overdue"),
    *("worse_than_flat", "worse_than_holding", "never_trades", "same_position", "overfits"),
    *("live_changed", "nothing_live", "live_version_old", "version_held_back"),
    *("validation_ended", "validation_failed", "market_data"),
    *("decisions_old", "bars_revised", "comparison_ended", "demoted"),
)


def create(apps, schema_editor):
    """Create the rules of the system and of every policy, and give the roles the permissions of alerts."""
    rule, policies = apps.get_model("alerts", "AlertRule"), apps.get_model("rl_training", "PolicyStore")
    rules = [rule(kind=kind) for kind in OF_SYSTEM]
    # Only the ids are read, so that a policy with an invalid config gets its rules too.
    rules += [
        rule(policy_id=pk, kind=kind) for pk in policies.objects.values_list("pk", flat=True) for kind in OF_POLICY
    ]
    rule.objects.bulk_create(rules, batch_size=1000)
    roles.grant(apps)


class Migration(migrations.Migration):
    """All migrations up to 0019 in one, for a database that has applied none of them."""

    initial = True
    replaces = [
        ("alerts", "0001_initial"),
        ("alerts", "0002_first_rules"),
        ("alerts", "0003_deliveries_by_recipient"),
        ("alerts", "0004_kinds_about_results"),
        ("alerts", "0005_rules_about_results"),
        ("alerts", "0006_kinds_about_deployments"),
        ("alerts", "0007_rules_about_deployments"),
        ("alerts", "0008_kinds_about_validations"),
        ("alerts", "0009_rules_about_validations"),
        ("alerts", "0010_kind_about_market_data"),
        ("alerts", "0011_rules_about_market_data"),
        ("alerts", "0012_kinds_about_decisions"),
        ("alerts", "0013_rules_about_decisions"),
        ("alerts", "0014_kind_about_failed_logins"),
        ("alerts", "0015_rule_about_failed_logins"),
        ("alerts", "0016_kind_about_disks"),
        ("alerts", "0017_rule_about_disks"),
        ("alerts", "0018_kinds_about_comparisons"),
        ("alerts", "0019_rules_about_comparisons"),
    ]
    dependencies = [("rl_training", "0001_squashed_0038"), migrations.swappable_dependency(settings.AUTH_USER_MODEL)]

    operations = [
        migrations.CreateModel(
            name="AlertChannel",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=50, unique=True)),
                ("sealed_address", models.TextField(editable=False)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "every_alert",
                    models.BooleanField(
                        default=True,
                        help_text="Receives every alert; otherwise only the alerts of rules that name this channel.",
                    ),
                ),
                ("test_requested_at", models.DateTimeField(editable=False, null=True)),
                ("tested_at", models.DateTimeField(editable=False, null=True)),
                ("test_outcome", models.CharField(blank=True, editable=False, max_length=200)),
            ],
            options={
                "ordering": ("name",),
            },
        ),
        migrations.CreateModel(
            name="Round",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("began_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        blank=True,
                        help_text="Empty for a rule of the whole system.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alert_rules",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("run_failed", "a run failed"),
                            ("success_rate", "too few runs succeed"),
                            ("duration", "a run's duration is unusual"),
                            ("reward", "the reward fell"),
                            ("overdue", "no run finishes"),
                            ("worse_than_flat", "the newest version is worse than flat"),
                            ("worse_than_holding", "the newest version is worse than buy and hold"),
                            ("never_trades", "the newest version never trades"),
                            ("same_position", "the newest version always holds the same position"),
                            ("overfits", "the reward rises while the held-out result falls"),
                            ("live_changed", "what is live was changed"),
                            ("nothing_live", "nothing is live"),
                            ("live_version_old", "the live version is old"),
                            ("version_held_back", "the newest version is held back"),
                            ("validation_ended", "a validation ended"),
                            ("validation_failed", "a validation failed"),
                            ("market_data", "the market data has a new kind of fault"),
                            ("decisions_old", "no new bar is decided"),
                            ("bars_revised", "bars changed at the source"),
                            ("comparison_ended", "a comparison on new bars has a verdict"),
                            ("demoted", "a guard ended what was live"),
                            ("beat_silent", "beat is silent"),
                            ("workers_silent", "all workers are silent"),
                            ("outbox_lag", "events wait for Redis"),
                            ("failed_logins", "many logins fail"),
                            ("disk_full", "a disk fills up"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "threshold",
                    models.FloatField(blank=True, help_text="Leave empty for the kind's default.", null=True),
                ),
                (
                    "window",
                    models.PositiveIntegerField(blank=True, help_text="Leave empty for the kind's default.", null=True),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="An open alert of a disabled rule is resolved."),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "channels",
                    models.ManyToManyField(
                        blank=True,
                        help_text="In addition to the channels that receive every alert.",
                        to="alerts.alertchannel",
                    ),
                ),
            ],
            options={
                "ordering": ("policy__name", "kind"),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("policy", "kind"),
                        name="rule_once_per_policy",
                        violation_error_message="The policy has a rule of this kind.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("policy", None)),
                        fields=("kind",),
                        name="rule_once_in_system",
                        violation_error_message="There is a rule of this kind.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                (
                                    "kind__in",
                                    ("beat_silent", "workers_silent", "outbox_lag", "failed_logins", "disk_full"),
                                ),
                                ("policy", None),
                            ),
                            models.Q(
                                (
                                    "kind__in",
                                    (
                                        "run_failed",
                                        "success_rate",
                                        "duration",
                                        "reward",
                                        "overdue",
                                        "worse_than_flat",
                                        "worse_than_holding",
                                        "never_trades",
                                        "same_position",
                                        "overfits",
                                        "live_changed",
                                        "nothing_live",
                                        "live_version_old",
                                        "version_held_back",
                                        "validation_ended",
                                        "validation_failed",
                                        "market_data",
                                        "decisions_old",
                                        "bars_revised",
                                        "comparison_ended",
                                        "demoted",
                                    ),
                                ),
                                ("policy__isnull", False),
                            ),
                            _connector="OR",
                        ),
                        name="rule_policy_as_its_kind",
                        violation_error_message="policy: a rule of the system has none, any other has one.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="alerts", to="alerts.alertrule"
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alerts",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("run_failed", "a run failed"),
                            ("success_rate", "too few runs succeed"),
                            ("duration", "a run's duration is unusual"),
                            ("reward", "the reward fell"),
                            ("overdue", "no run finishes"),
                            ("worse_than_flat", "the newest version is worse than flat"),
                            ("worse_than_holding", "the newest version is worse than buy and hold"),
                            ("never_trades", "the newest version never trades"),
                            ("same_position", "the newest version always holds the same position"),
                            ("overfits", "the reward rises while the held-out result falls"),
                            ("live_changed", "what is live was changed"),
                            ("nothing_live", "nothing is live"),
                            ("live_version_old", "the live version is old"),
                            ("version_held_back", "the newest version is held back"),
                            ("validation_ended", "a validation ended"),
                            ("validation_failed", "a validation failed"),
                            ("market_data", "the market data has a new kind of fault"),
                            ("decisions_old", "no new bar is decided"),
                            ("bars_revised", "bars changed at the source"),
                            ("comparison_ended", "a comparison on new bars has a verdict"),
                            ("demoted", "a guard ended what was live"),
                            ("beat_silent", "beat is silent"),
                            ("workers_silent", "all workers are silent"),
                            ("outbox_lag", "events wait for Redis"),
                            ("failed_logins", "many logins fail"),
                            ("disk_full", "a disk fills up"),
                        ],
                        max_length=20,
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        help_text="The run that made the condition true, if a run did.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="rl_training.trainingrun",
                    ),
                ),
                ("message", models.TextField(help_text="What was found when the alert opened.")),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                (
                    "acknowledged_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("resolved_at", models.DateTimeField(blank=True, help_text="When the condition had ended.", null=True)),
            ],
            options={
                "ordering": ("-opened_at",),
                "indexes": [
                    models.Index(fields=["-opened_at"], name="alert_opened_at"),
                    models.Index(fields=["policy", "-opened_at"], name="alert_of_policy"),
                    models.Index(condition=models.Q(("resolved_at", None)), fields=["kind"], name="alert_open"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at", None)), fields=("rule",), name="alert_one_open_per_rule"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "alert",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="alerts.alert"
                    ),
                ),
                (
                    "channel",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="messages", to="alerts.alertchannel"
                    ),
                ),
                ("event", models.CharField(choices=[("opened", "Opened"), ("resolved", "Resolved")], max_length=10)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("next_try_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "taken_by",
                    models.CharField(
                        blank=True, help_text="The id of the last claim of a sending process.", max_length=32
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("given_up", models.BooleanField(default=False)),
                ("problem", models.CharField(blank=True, help_text="Why the last try failed.", max_length=200)),
            ],
            options={
                "ordering": ("id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("given_up", False), ("sent_at", None)),
                        fields=["channel", "next_try_at"],
                        name="message_waiting",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("alert", "channel", "event"), name="message_once_per_channel")
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="deliveries", to="alerts.alertmessage"
                    ),
                ),
                ("recipient", models.CharField(help_text="The recipient's fingerprint.", max_length=32)),
                ("sent_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("message", "recipient"), name="delivery_once_per_recipient")
                ],
            },
        ),
        migrations.RunPython(create, migrations.RunPython.noop),
    ]
