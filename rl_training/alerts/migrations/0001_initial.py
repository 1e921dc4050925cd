import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("rl_training", "0003_run_limits_and_cancelling"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

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
                    "kind",
                    models.CharField(
                        choices=[
                            ("run_failed", "a run failed"),
                            ("success_rate", "too few runs succeed"),
                            ("duration", "a run's duration is unusual"),
                            ("reward", "the reward fell"),
                            ("overdue", "no run finishes"),
                            ("beat_silent", "beat is silent"),
                            ("workers_silent", "all workers are silent"),
                            ("outbox_lag", "events wait for Redis"),
                        ],
                        max_length=20,
                    ),
                ),
                ("threshold", models.FloatField(blank=True, help_text="Empty: the kind's default.", null=True)),
                ("window", models.PositiveIntegerField(blank=True, help_text="Empty: the kind's default.", null=True)),
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
            ],
            options={
                "ordering": ("policy__name", "kind"),
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("run_failed", "a run failed"),
                            ("success_rate", "too few runs succeed"),
                            ("duration", "a run's duration is unusual"),
                            ("reward", "the reward fell"),
                            ("overdue", "no run finishes"),
                            ("beat_silent", "beat is silent"),
                            ("workers_silent", "all workers are silent"),
                            ("outbox_lag", "events wait for Redis"),
                        ],
                        max_length=20,
                    ),
                ),
                ("message", models.TextField(help_text="What was found when it opened.")),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True)),
                ("resolved_at", models.DateTimeField(blank=True, help_text="When the condition was gone.", null=True)),
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
                    "run",
                    models.ForeignKey(
                        blank=True,
                        help_text="The run that made the condition true, where it was one.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="rl_training.trainingrun",
                    ),
                ),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="alerts", to="alerts.alertrule"
                    ),
                ),
            ],
            options={
                "ordering": ("-opened_at",),
            },
        ),
        migrations.CreateModel(
            name="AlertMessage",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(
                fields=("policy", "kind"),
                name="rule_once_per_policy",
                violation_error_message="The policy has a rule of this kind.",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.UniqueConstraint(
                condition=models.Q(("policy", None)),
                fields=("kind",),
                name="rule_once_in_system",
                violation_error_message="There is a rule of this kind.",
            ),
        ),
        migrations.AddConstraint(
            model_name="alertrule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind__in", ("beat_silent", "workers_silent", "outbox_lag")), ("policy", None)),
                    models.Q(
                        ("kind__in", ("run_failed", "success_rate", "duration", "reward", "overdue")),
                        ("policy__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="rule_policy_as_its_kind",
                violation_error_message="policy: a rule of the system has none, any other has one.",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["-opened_at"], name="alert_opened_at"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["policy", "-opened_at"], name="alert_of_policy"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(condition=models.Q(("resolved_at", None)), fields=["kind"], name="alert_open"),
        ),
        migrations.AddConstraint(
            model_name="alert",
            constraint=models.UniqueConstraint(
                condition=models.Q(("resolved_at", None)), fields=("rule",), name="alert_one_open_per_rule"
            ),
        ),
    ]
