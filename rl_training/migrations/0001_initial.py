import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import django_pydantic_field.fields
import re
import rl_training.core.config
import rl_training.models
import simple_history.models
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="HistoricalPolicyStore",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        db_index=True,
                        help_text="Lower-case letters, digits and underscores. It names the policy's streams and keys.",
                        max_length=50,
                        validators=[
                            django.core.validators.RegexValidator(
                                re.compile("\\A[a-z][a-z0-9_]*\\Z"),
                                "Lower-case letters, digits and underscores, starting with a letter.",
                            )
                        ],
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="Whether the schedule starts runs of this policy."),
                ),
                (
                    "interval_minutes",
                    models.PositiveIntegerField(
                        default=60,
                        help_text="Minutes from one scheduled run to the next. 1 to 527,040 (a year).",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(527040),
                        ],
                    ),
                ),
                (
                    "episodes_per_run",
                    models.PositiveIntegerField(
                        default=2,
                        help_text="Market episodes in every parallel environment. 1 to 1,000,000.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
                (
                    "market",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.config.MarketConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.config.MarketConfig,
                    ),
                ),
                (
                    "environment",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.config.EnvironmentConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.config.EnvironmentConfig,
                    ),
                ),
                (
                    "ppo",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.config.PPOConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.config.PPOConfig,
                    ),
                ),
                ("history_id", models.AutoField(primary_key=True, serialize=False)),
                ("history_date", models.DateTimeField(db_index=True)),
                ("history_change_reason", models.CharField(max_length=100, null=True)),
                (
                    "history_type",
                    models.CharField(choices=[("+", "Created"), ("~", "Changed"), ("-", "Deleted")], max_length=1),
                ),
                (
                    "history_user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "historical policy store",
                "verbose_name_plural": "historical policy store",
                "ordering": ("-history_date", "-history_id"),
                "get_latest_by": ("history_date", "history_id"),
            },
            bases=(simple_history.models.HistoricalChanges, models.Model),
        ),
        migrations.CreateModel(
            name="PolicyStore",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        help_text="Lower-case letters, digits and underscores. It names the policy's streams and keys.",
                        max_length=50,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                re.compile("\\A[a-z][a-z0-9_]*\\Z"),
                                "Lower-case letters, digits and underscores, starting with a letter.",
                            )
                        ],
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="Whether the schedule starts runs of this policy."),
                ),
                (
                    "interval_minutes",
                    models.PositiveIntegerField(
                        default=60,
                        help_text="Minutes from one scheduled run to the next. 1 to 527,040 (a year).",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(527040),
                        ],
                    ),
                ),
                (
                    "episodes_per_run",
                    models.PositiveIntegerField(
                        default=2,
                        help_text="Market episodes in every parallel environment. 1 to 1,000,000.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1000000),
                        ],
                    ),
                ),
                (
                    "market",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.config.MarketConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.config.MarketConfig,
                    ),
                ),
                (
                    "environment",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.config.EnvironmentConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.config.EnvironmentConfig,
                    ),
                ),
                (
                    "ppo",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.config.PPOConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.config.PPOConfig,
                    ),
                ),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("next_run_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("total_runs", models.PositiveBigIntegerField(default=0, editable=False, help_text="Finished runs.")),
                ("succeeded_runs", models.PositiveBigIntegerField(default=0, editable=False)),
                (
                    "schedule_error",
                    models.TextField(
                        blank=True, editable=False, help_text="Why the last slot started no run; empty when it did."
                    ),
                ),
            ],
            options={
                "verbose_name": "policy store",
                "verbose_name_plural": "policy store",
                "ordering": ("name",),
                "indexes": [
                    models.Index(condition=models.Q(("enabled", True)), fields=["next_run_at"], name="policy_due"),
                    models.Index(fields=["updated_at"], name="policy_updated"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("interval_minutes__gte", 1), ("interval_minutes__lte", 527040)),
                        name="policy_interval_minutes_range",
                        violation_error_message="interval_minutes: 1 to 527,040.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("episodes_per_run__gte", 1), ("episodes_per_run__lte", 1000000)),
                        name="policy_episodes_per_run_range",
                        violation_error_message="episodes_per_run: 1 to 1,000,000.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("artifact", models.CharField(help_text="Folder in the artifact storage.", max_length=200)),
                ("sha256", models.CharField(help_text="Digest of the weights.", max_length=64)),
                ("evaluation", models.JSONField()),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        help_text="None: from scratch.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policyversion",
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="rl_training.policystore",
                    ),
                ),
            ],
            options={
                "ordering": ("-created_at",),
            },
        ),
        migrations.CreateModel(
            name="TrainingRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "run_id",
                    models.CharField(default=rl_training.models.new_run_id, editable=False, max_length=12, unique=True),
                ),
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
                (
                    "trigger",
                    models.CharField(
                        choices=[("schedule", "Schedule"), ("command", "Command"), ("api", "Api"), ("admin", "Admin")],
                        max_length=10,
                    ),
                ),
                (
                    "scheduled_for",
                    models.DateTimeField(blank=True, help_text="The slot; none for a triggered run.", null=True),
                ),
                ("queued_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "sent_at",
                    models.DateTimeField(
                        blank=True, help_text="When a task message was last sent to the workers.", null=True
                    ),
                ),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("attempt", models.PositiveSmallIntegerField(default=0)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                ("episodes", models.PositiveIntegerField()),
                ("episodes_done", models.PositiveIntegerField(default=0)),
                ("config", models.JSONField()),
                ("market_summary", models.JSONField(blank=True, null=True)),
                ("duration_seconds", models.FloatField(blank=True, null=True)),
                ("avg_reward", models.FloatField(blank=True, null=True)),
                ("final_reward", models.FloatField(blank=True, null=True)),
                ("avg_policy_loss", models.FloatField(blank=True, null=True)),
                ("avg_value_loss", models.FloatField(blank=True, null=True)),
                ("environment_steps", models.PositiveBigIntegerField(default=0)),
                ("episode_rewards", models.JSONField(blank=True, default=list)),
                ("error", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
                (
                    "initial_version",
                    models.ForeignKey(
                        blank=True,
                        help_text="None: from scratch.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policyversion",
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="rl_training.policystore"
                    ),
                ),
            ],
            options={
                "ordering": ("-queued_at",),
            },
        ),
        migrations.CreateModel(
            name="TrainingEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("event_type", models.CharField(help_text="Also the name of the stream.", max_length=80)),
                ("timestamp", models.DateTimeField(default=django.utils.timezone.now)),
                ("payload", models.JSONField()),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="events", to="rl_training.trainingrun"
                    ),
                ),
            ],
            options={
                "ordering": ("-id",),
            },
        ),
        migrations.AddField(
            model_name="policyversion",
            name="run",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="version", to="rl_training.trainingrun"
            ),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["policy", "-finished_at"],
                name="run_finished",
            ),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(fields=["-queued_at"], name="run_queued_at"),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["status", "heartbeat_at"],
                name="run_active",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.UniqueConstraint(fields=("policy", "scheduled_for"), name="run_once_per_slot"),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=("policy",),
                name="run_one_active_per_policy",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                name="run_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingrun",
            constraint=models.CheckConstraint(condition=models.Q(("episodes__gte", 1)), name="run_episodes_minimum"),
        ),
        migrations.AddIndex(
            model_name="trainingevent",
            index=models.Index(
                condition=models.Q(("published_at__isnull", True)), fields=["id"], name="event_unpublished"
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingevent",
            constraint=models.UniqueConstraint(fields=("run", "event_type"), name="event_once_per_run"),
        ),
        migrations.AddConstraint(
            model_name="policyversion",
            constraint=models.UniqueConstraint(fields=("policy", "number"), name="version_number_once_per_policy"),
        ),
    ]
