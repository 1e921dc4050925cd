import django.core.serializers.json
import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import django_pydantic_field.fields
import re
import rl_training.core.config
import rl_training.core.market_config
import rl_training.models.runs
import rl_training.models.storage.packed_json
import simple_history.models
import uuid
from django.conf import settings
from django.db import migrations, models

from rl_training import roles


def create(apps, schema_editor):
    """Create the first policy and the roles."""
    policy = apps.get_model("rl_training", "PolicyStore").objects.create(name="rl_v3")
    history = apps.get_model("rl_training", "HistoricalPolicyStore")
    names = {field.name for field in policy._meta.fields} & {field.name for field in history._meta.fields}
    # Signals do not reach a migration: the history begins here, so that the first edit has a value before it.
    begun = {"history_date": django.utils.timezone.now(), "history_type": "+"}
    history.objects.create(**{name: getattr(policy, name) for name in names}, **begun)
    roles.grant(apps)


class Migration(migrations.Migration):
    """All migrations up to 0038 in one, for a database that has applied none of them."""

    initial = True
    replaces = [
        ("rl_training", "0001_initial"),
        ("rl_training", "0002_policy_rl_v3"),
        ("rl_training", "0003_run_limits_and_cancelling"),
        ("rl_training", "0004_roles"),
        ("rl_training", "0005_idempotency_keys_and_list_indexes"),
        ("rl_training", "0006_roles_of_alerts"),
        ("rl_training", "0007_run_totals"),
        ("rl_training", "0008_workers_lost"),
        ("rl_training", "0009_run_triggered_by"),
        ("rl_training", "0010_started_from"),
        ("rl_training", "0011_help_texts"),
        ("rl_training", "0012_run_curve"),
        ("rl_training", "0013_start_and_deployments"),
        ("rl_training", "0014_policies_with_runs_as_before"),
        ("rl_training", "0015_run_bars_and_computing_environment"),
        ("rl_training", "0016_slot_ledger"),
        ("rl_training", "0017_version_results"),
        ("rl_training", "0018_deployment_events_and_proposals"),
        ("rl_training", "0019_roles_of_deployments"),
        ("rl_training", "0020_comparisons"),
        ("rl_training", "0021_weights_removed_at"),
        ("rl_training", "0022_evidence_of_deployments"),
        ("rl_training", "0023_validations"),
        ("rl_training", "0024_new_policies_are_gated"),
        ("rl_training", "0025_decisions"),
        ("rl_training", "0026_roles_of_decisions"),
        ("rl_training", "0027_decision_enabled"),
        ("rl_training", "0028_challengers"),
        ("rl_training", "0029_roles_of_challengers"),
        ("rl_training", "0030_arm_comparisons"),
        ("rl_training", "0031_roles_of_arm_comparisons"),
        ("rl_training", "0032_packed_json"),
        ("rl_training", "0033_indexes_of_retention"),
        ("rl_training", "0034_storage_readings"),
        ("rl_training", "0035_roles_of_storage"),
        ("rl_training", "0036_guards"),
        ("rl_training", "0037_policies_with_runs_have_no_guards"),
        ("rl_training", "0038_name_message_and_stall_help"),
    ]
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="FollowedMarket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "identity",
                    models.CharField(
                        help_text="Digest of the settings that decide which bars the market has.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "config",
                    models.JSONField(help_text="The market settings of the first policy that followed the market."),
                ),
                ("label", models.CharField(help_text="The market's label.", max_length=600)),
                (
                    "spacing",
                    models.PositiveIntegerField(
                        default=0, help_text="Seconds from a bar to the next bar; 0 while no bars are known."
                    ),
                ),
                (
                    "newest_at",
                    models.DateTimeField(blank=True, help_text="When the newest known bar opened.", null=True),
                ),
                ("grew_at", models.DateTimeField(blank=True, help_text="When a new bar was last seen.", null=True)),
                (
                    "revised_at",
                    models.DateTimeField(blank=True, help_text="When a changed bar was last seen.", null=True),
                ),
                ("read_at", models.DateTimeField(blank=True, help_text="When the source last answered.", null=True)),
                (
                    "due_at",
                    models.DateTimeField(default=django.utils.timezone.now, help_text="When the source is read next."),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(
                        default=0, help_text="Number of failed readings since the last successful reading."
                    ),
                ),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why the last reading failed; empty if it succeeded."),
                ),
            ],
            options={
                "ordering": ("label", "pk"),
                "indexes": [models.Index(fields=["due_at"], name="market_due")],
            },
        ),
        migrations.CreateModel(
            name="HistoricalPolicyStore",
            fields=[
                ("id", models.BigIntegerField(auto_created=True, blank=True, db_index=True, verbose_name="ID")),
                (
                    "name",
                    models.CharField(
                        db_index=True,
                        error_messages={"unique": "There is a policy %(model)s already."},
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
                        help_text="Minutes from one scheduled run to the next. 1 to 527,040 (366 days).",
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
                    "start_from",
                    models.CharField(
                        choices=[
                            ("scratch", "scratch: random weights"),
                            ("live", "live: the weights of the live version"),
                            ("newest", "newest: the weights of the newest version"),
                        ],
                        default="scratch",
                        help_text="What each run starts from. Runs that continue from a version memorise the bars they repeat.",
                        max_length=10,
                    ),
                ),
                (
                    "seeds",
                    models.PositiveIntegerField(
                        default=3,
                        help_text="Members that a run trains, each from a seed of its own. Their mean action probabilities are the version's. 1 to 32.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(32),
                        ],
                    ),
                ),
                (
                    "min_new_bars",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="A slot is skipped while fewer bars than this have closed since the last successful run. 0 to 10,000,000; 0 skips none.",
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(10000000),
                        ],
                    ),
                ),
                (
                    "promotion",
                    models.CharField(
                        choices=[
                            (
                                "validated",
                                "validated: the gate, if the recipe is validated and the version passes the guards",
                            ),
                            ("manual", "manual: a person"),
                            ("newest", "newest: the run that makes it"),
                        ],
                        default="validated",
                        help_text="What makes a new version live.",
                        max_length=10,
                    ),
                ),
                (
                    "must_beat",
                    models.CharField(
                        choices=[
                            ("flat", "flat: a flat account"),
                            ("buy_and_hold", "buy_and_hold: a flat account, and buy and hold"),
                            ("all", "all: these, the version that was trained once, and the sign rules"),
                        ],
                        default="buy_and_hold",
                        help_text="What the account of a walk-forward must beat, so that the recipe counts as validated.",
                        max_length=15,
                    ),
                ),
                (
                    "revalidate_days",
                    models.PositiveIntegerField(
                        default=30,
                        help_text="Days after which a validated recipe is walked forward again, which can only end the validation. 1 to 3,650.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(3650),
                        ],
                    ),
                ),
                (
                    "fallback",
                    models.CharField(
                        choices=[
                            ("flat", "flat: nothing is live"),
                            ("previous", "previous: the version that was live before, or nothing"),
                            ("none", "none: no guard acts"),
                        ],
                        default="flat",
                        help_text="What becomes live when a guard ends the live version. With none, no guard acts.",
                        max_length=10,
                    ),
                ),
                (
                    "demotion_bars",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="A version that loses nothing is demoted once in this many bars on average, a losing one far sooner. 0 to 1,000,000,000; 0: the bars of ten years.",
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1000000000),
                        ],
                    ),
                ),
                (
                    "drawdown_limit",
                    models.PositiveIntegerField(
                        default=30,
                        help_text="A live version is ended when its paper account falls by more than this many percent from its peak. 1 to 100; 100 means no limit.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "stall_limit_minutes",
                    models.PositiveIntegerField(
                        default=10,
                        help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued again. The bars of an evaluation count as iterations do. 1 to 1,440 (one day).",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1440),
                        ],
                    ),
                ),
                (
                    "run_limit_minutes",
                    models.PositiveIntegerField(
                        default=1440,
                        help_text="A run fails when one of its attempts takes longer than this many minutes. 1 to 44,640 (31 days).",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(44640),
                        ],
                    ),
                ),
                (
                    "market",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.market_config.MarketConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.market_config.MarketConfig,
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
                        error_messages={"unique": "There is a policy %(model)s already."},
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
                        help_text="Minutes from one scheduled run to the next. 1 to 527,040 (366 days).",
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
                    "start_from",
                    models.CharField(
                        choices=[
                            ("scratch", "scratch: random weights"),
                            ("live", "live: the weights of the live version"),
                            ("newest", "newest: the weights of the newest version"),
                        ],
                        default="scratch",
                        help_text="What each run starts from. Runs that continue from a version memorise the bars they repeat.",
                        max_length=10,
                    ),
                ),
                (
                    "seeds",
                    models.PositiveIntegerField(
                        default=3,
                        help_text="Members that a run trains, each from a seed of its own. Their mean action probabilities are the version's. 1 to 32.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(32),
                        ],
                    ),
                ),
                (
                    "min_new_bars",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="A slot is skipped while fewer bars than this have closed since the last successful run. 0 to 10,000,000; 0 skips none.",
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(10000000),
                        ],
                    ),
                ),
                (
                    "promotion",
                    models.CharField(
                        choices=[
                            (
                                "validated",
                                "validated: the gate, if the recipe is validated and the version passes the guards",
                            ),
                            ("manual", "manual: a person"),
                            ("newest", "newest: the run that makes it"),
                        ],
                        default="validated",
                        help_text="What makes a new version live.",
                        max_length=10,
                    ),
                ),
                (
                    "must_beat",
                    models.CharField(
                        choices=[
                            ("flat", "flat: a flat account"),
                            ("buy_and_hold", "buy_and_hold: a flat account, and buy and hold"),
                            ("all", "all: these, the version that was trained once, and the sign rules"),
                        ],
                        default="buy_and_hold",
                        help_text="What the account of a walk-forward must beat, so that the recipe counts as validated.",
                        max_length=15,
                    ),
                ),
                (
                    "revalidate_days",
                    models.PositiveIntegerField(
                        default=30,
                        help_text="Days after which a validated recipe is walked forward again, which can only end the validation. 1 to 3,650.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(3650),
                        ],
                    ),
                ),
                (
                    "fallback",
                    models.CharField(
                        choices=[
                            ("flat", "flat: nothing is live"),
                            ("previous", "previous: the version that was live before, or nothing"),
                            ("none", "none: no guard acts"),
                        ],
                        default="flat",
                        help_text="What becomes live when a guard ends the live version. With none, no guard acts.",
                        max_length=10,
                    ),
                ),
                (
                    "demotion_bars",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="A version that loses nothing is demoted once in this many bars on average, a losing one far sooner. 0 to 1,000,000,000; 0: the bars of ten years.",
                        validators=[
                            django.core.validators.MinValueValidator(0),
                            django.core.validators.MaxValueValidator(1000000000),
                        ],
                    ),
                ),
                (
                    "drawdown_limit",
                    models.PositiveIntegerField(
                        default=30,
                        help_text="A live version is ended when its paper account falls by more than this many percent from its peak. 1 to 100; 100 means no limit.",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(100),
                        ],
                    ),
                ),
                (
                    "stall_limit_minutes",
                    models.PositiveIntegerField(
                        default=10,
                        help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued again. The bars of an evaluation count as iterations do. 1 to 1,440 (one day).",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(1440),
                        ],
                    ),
                ),
                (
                    "run_limit_minutes",
                    models.PositiveIntegerField(
                        default=1440,
                        help_text="A run fails when one of its attempts takes longer than this many minutes. 1 to 44,640 (31 days).",
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(44640),
                        ],
                    ),
                ),
                (
                    "market",
                    django_pydantic_field.fields.PydanticSchemaField(
                        config=None,
                        default=rl_training.core.market_config.MarketConfig,
                        encoder=django.core.serializers.json.DjangoJSONEncoder,
                        schema=rl_training.core.market_config.MarketConfig,
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
                        blank=True,
                        editable=False,
                        help_text="Why the last slot started no run; empty if it started one.",
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
                    models.CheckConstraint(
                        condition=models.Q(("seeds__gte", 1), ("seeds__lte", 32)),
                        name="policy_seeds_range",
                        violation_error_message="seeds: 1 to 32.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("min_new_bars__gte", 0), ("min_new_bars__lte", 10000000)),
                        name="policy_min_new_bars_range",
                        violation_error_message="min_new_bars: 0 to 10,000,000.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("revalidate_days__gte", 1), ("revalidate_days__lte", 3650)),
                        name="policy_revalidate_days_range",
                        violation_error_message="revalidate_days: 1 to 3,650.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("demotion_bars__gte", 0), ("demotion_bars__lte", 1000000000)),
                        name="policy_demotion_bars_range",
                        violation_error_message="demotion_bars: 0 to 1,000,000,000.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("drawdown_limit__gte", 1), ("drawdown_limit__lte", 100)),
                        name="policy_drawdown_limit_range",
                        violation_error_message="drawdown_limit: 1 to 100.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("stall_limit_minutes__gte", 1), ("stall_limit_minutes__lte", 1440)),
                        name="policy_stall_limit_minutes_range",
                        violation_error_message="stall_limit_minutes: 1 to 1,440.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("run_limit_minutes__gte", 1), ("run_limit_minutes__lte", 44640)),
                        name="policy_run_limit_minutes_range",
                        violation_error_message="run_limit_minutes: 1 to 44,640.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("start_from__in", ["scratch", "live", "newest"])),
                        name="policy_start_from_known",
                        violation_error_message="start_from: one of scratch, live, newest.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("promotion__in", ["validated", "manual", "newest"])),
                        name="policy_promotion_known",
                        violation_error_message="promotion: one of validated, manual, newest.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("must_beat__in", ["flat", "buy_and_hold", "all"])),
                        name="policy_must_beat_known",
                        violation_error_message="must_beat: one of flat, buy_and_hold, all.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("fallback__in", ["flat", "previous", "none"])),
                        name="policy_fallback_known",
                        violation_error_message="fallback: one of flat, previous, none.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TrialMarket",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "key",
                    models.CharField(
                        help_text="Digest of what names the market; see core/market_config.py.",
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("label", models.CharField(help_text="The market's label when it was tried first.", max_length=600)),
                ("trials", models.PositiveIntegerField(default=0, help_text="Number of trials.")),
            ],
        ),
        migrations.CreateModel(
            name="StorageReading",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField(unique=True)),
                ("usage", models.JSONField(help_text="Bytes by part; a part that could not be read is missing.")),
                (
                    "disks",
                    models.JSONField(help_text="Total and free bytes of each disk, by the setting of a folder on it."),
                ),
            ],
            options={
                "ordering": ("-at",),
            },
        ),
        migrations.CreateModel(
            name="Comparison",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                ("queued_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "sent_at",
                    models.DateTimeField(
                        blank=True, help_text="When a task message was last sent to the workers.", null=True
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
                        blank=True, help_text="The worker's last heartbeat, by the database's clock.", null=True
                    ),
                ),
                ("error", models.TextField(blank=True)),
                (
                    "comparison_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                ("size", models.PositiveSmallIntegerField(help_text="Number of versions.")),
                ("market", models.CharField(help_text="The market's label.", max_length=600)),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The user who requested the comparison; empty for a command.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "started_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Time of the first start; the comparison uses the bars until then.",
                        null=True,
                    ),
                ),
                ("bars", models.PositiveIntegerField(blank=True, help_text="Decisions that were compared.", null=True)),
                ("bars_first", models.DateTimeField(blank=True, help_text="The bar of the first decision.", null=True)),
                ("bars_last", models.DateTimeField(blank=True, null=True)),
                (
                    "bars_digest",
                    models.CharField(
                        blank=True, help_text="Digest of the bars from the first decision on.", max_length=64
                    ),
                ),
                (
                    "result",
                    models.JSONField(blank=True, help_text="See Comparison.as_dict() in core/evaluation.", null=True),
                ),
            ],
            options={
                "ordering": ("-requested_at",),
                "indexes": [
                    models.Index(fields=["-requested_at"], name="comparison_requested_at"),
                    models.Index(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=["status", "heartbeat_at"],
                        name="comparison_active",
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                        name="comparison_status_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("size__gte", 2)), name="comparison_of_two_or_more"),
                ],
            },
        ),
        migrations.CreateModel(
            name="MarketBar",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "market",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="bars",
                        to="rl_training.followedmarket",
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("revision", models.PositiveSmallIntegerField(default=0)),
                ("open", models.FloatField()),
                ("high", models.FloatField()),
                ("low", models.FloatField()),
                ("close", models.FloatField()),
                ("volume", models.FloatField()),
                ("removed", models.BooleanField(default=False, help_text="Whether the source no longer has the bar.")),
                ("seen_at", models.DateTimeField()),
            ],
            options={
                "ordering": ("opened_at", "revision"),
                "constraints": [
                    models.UniqueConstraint(fields=("market", "opened_at", "revision"), name="bar_revision_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="TrainingRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "run_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="runs", to="rl_training.policystore"
                    ),
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
                    "triggered_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The user who triggered the run; empty for the schedule and for commands.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "scheduled_for",
                    models.DateTimeField(blank=True, help_text="The slot; empty for a triggered run.", null=True),
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
                (
                    "workers_lost",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Attempts that ended because the worker was lost."
                    ),
                ),
                (
                    "heartbeat_at",
                    models.DateTimeField(
                        blank=True, help_text="The worker's last heartbeat, by the database's clock.", null=True
                    ),
                ),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                (
                    "start_note",
                    models.TextField(
                        blank=True,
                        help_text="Why the run started from another version than its initial version, or from scratch.",
                        null=True,
                    ),
                ),
                ("episodes", models.PositiveIntegerField()),
                ("episodes_done", models.PositiveIntegerField(default=0)),
                (
                    "iterations_done",
                    models.PositiveBigIntegerField(default=0, help_text="Rollouts, each followed by its update."),
                ),
                ("config", models.JSONField()),
                (
                    "recipe",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Digest of the recipe; see core/run/recipe.py.",
                        max_length=64,
                    ),
                ),
                ("market_summary", models.JSONField(blank=True, null=True)),
                (
                    "bars_digest",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Digest under which the bars are stored.",
                        max_length=64,
                    ),
                ),
                (
                    "computing_environment",
                    rl_training.models.storage.packed_json.PackedJSONField(
                        blank=True,
                        help_text="Versions and kernels that the last attempt computes with; see core/run/computing_environment.py.",
                        null=True,
                    ),
                ),
                ("duration_seconds", models.FloatField(blank=True, null=True)),
                ("avg_reward", models.FloatField(blank=True, null=True)),
                ("final_reward", models.FloatField(blank=True, null=True)),
                ("avg_policy_loss", models.FloatField(blank=True, null=True)),
                ("avg_value_loss", models.FloatField(blank=True, null=True)),
                ("environment_steps", models.PositiveBigIntegerField(default=0)),
                ("episode_rewards", rl_training.models.storage.packed_json.PackedJSONField(blank=True, default=list)),
                (
                    "curve",
                    rl_training.models.storage.packed_json.PackedJSONField(
                        blank=True, help_text="Rewards and PPO's metrics; see core/run/curves.py.", null=True
                    ),
                ),
                ("error", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
            ],
            options={
                "ordering": ("-queued_at",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("finished_at__isnull", False)),
                        fields=["policy", "-finished_at"],
                        name="run_finished",
                    ),
                    models.Index(fields=["-queued_at"], name="run_queued_at"),
                    models.Index(fields=["policy", "-queued_at"], name="run_of_policy"),
                    models.Index(fields=["status", "-queued_at"], name="run_of_status"),
                    models.Index(fields=["trigger", "-queued_at"], name="run_of_trigger"),
                    models.Index(
                        condition=models.Q(("finished_at__isnull", False)),
                        fields=["-finished_at"],
                        name="run_finished_at",
                    ),
                    models.Index(
                        condition=models.Q(("bars_digest", ""), _negated=True),
                        fields=["bars_digest", "finished_at"],
                        name="run_bars",
                    ),
                    models.Index(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=["status", "heartbeat_at"],
                        name="run_active",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("policy", "scheduled_for"), name="run_once_per_slot"),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=("policy",),
                        name="run_one_active_per_policy",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                        name="run_status_known",
                    ),
                    models.CheckConstraint(condition=models.Q(("episodes__gte", 1)), name="run_episodes_minimum"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Trial",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "market",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="ledger", to="rl_training.trialmarket"
                    ),
                ),
                ("number", models.PositiveIntegerField(help_text="The trial's number on the market, from 1.")),
                (
                    "kind",
                    models.CharField(
                        choices=[("walk_forward", "Walk Forward"), ("comparison", "Comparison")], max_length=12
                    ),
                ),
                ("recipe", models.CharField(help_text="The recipe's digest.", max_length=64)),
                ("policy_name", models.CharField(max_length=50)),
                (
                    "alpha",
                    models.FloatField(help_text="What all trials of the market together may spend, PROMOTION_ALPHA."),
                ),
                ("level", models.FloatField(help_text="What this trial may spend.")),
                ("at", models.DateTimeField()),
            ],
            options={
                "ordering": ("-at",),
                "constraints": [
                    models.UniqueConstraint(fields=("market", "number"), name="trial_number_once_per_market"),
                    models.CheckConstraint(condition=models.Q(("number__gte", 1)), name="trial_number_from_one"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RunTotal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="totals", to="rl_training.policystore"
                    ),
                ),
                ("status", models.CharField(max_length=10)),
                ("measure", models.CharField(choices=[("duration", "Duration"), ("reward", "Reward")], max_length=10)),
                (
                    "bound",
                    models.CharField(help_text="The bucket's upper bound, as Prometheus writes it.", max_length=10),
                ),
                ("runs", models.PositiveBigIntegerField(default=0)),
                ("total", models.FloatField(default=0.0, help_text="The sum of the measures.")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("policy", "status", "measure", "bound"), name="total_once_per_bucket"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SlotRange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="slots",
                        to="rl_training.policystore",
                    ),
                ),
                ("first_slot", models.DateTimeField()),
                ("last_slot", models.DateTimeField()),
                ("slots", models.PositiveIntegerField(help_text="Number of slots, `interval_minutes` apart.")),
                ("interval_minutes", models.PositiveIntegerField()),
                (
                    "next_slot",
                    models.DateTimeField(
                        help_text="The policy's next slot after these slots: one interval later, or earlier if the schedule was moved."
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
                    models.TextField(
                        blank=True, help_text="The reason in words; for several skipped slots, that of the last slot."
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
                (
                    "lateness_seconds",
                    models.FloatField(blank=True, help_text="Time from the slot until its run was queued.", null=True),
                ),
            ],
            options={
                "ordering": ("-first_slot",),
                "indexes": [
                    models.Index(fields=["policy", "-id"], name="slots_newest"),
                    models.Index(condition=models.Q(("run__isnull", False)), fields=["run"], name="slots_of_run"),
                ],
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
        migrations.CreateModel(
            name="PolicyVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="versions",
                        to="rl_training.policystore",
                    ),
                ),
                ("number", models.PositiveIntegerField()),
                (
                    "run",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="version",
                        to="rl_training.trainingrun",
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        help_text="The version that training started from.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policyversion",
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "artifact",
                    models.CharField(
                        help_text="Folder in the artifact storage; empty after the files were removed.", max_length=200
                    ),
                ),
                (
                    "weights_removed_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="When retention removed the weights; they cannot be used any more.",
                        null=True,
                    ),
                ),
                ("sha256", models.CharField(help_text="Digest of the weights.", max_length=64)),
                ("evaluation", rl_training.models.storage.packed_json.PackedJSONField()),
                (
                    "held_back",
                    models.TextField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Why the gate holds the version back; empty if it does not.",
                    ),
                ),
                (
                    "has_decided",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Whether a challenger decides, or decided, by the version. Its weights are then kept.",
                    ),
                ),
                (
                    "market",
                    models.CharField(blank=True, db_default="", help_text="The market's label.", max_length=600),
                ),
                (
                    "held_out_bars",
                    models.PositiveIntegerField(blank=True, help_text="Decisions on held-out bars.", null=True),
                ),
                (
                    "held_out_return",
                    models.FloatField(blank=True, help_text="Total return on held-out bars.", null=True),
                ),
                (
                    "buy_and_hold_return",
                    models.FloatField(
                        blank=True, help_text="Total return of buy and hold on the same bars.", null=True
                    ),
                ),
                (
                    "flat_return",
                    models.FloatField(
                        blank=True, help_text="Total return of a flat account on the same bars.", null=True
                    ),
                ),
                (
                    "sharpe",
                    models.FloatField(blank=True, help_text="Annualised Sharpe ratio on held-out bars.", null=True),
                ),
                (
                    "sharpe_low",
                    models.FloatField(
                        blank=True, help_text="Lower bound of the Sharpe ratio's 95 % interval.", null=True
                    ),
                ),
                (
                    "sharpe_high",
                    models.FloatField(
                        blank=True, help_text="Upper bound of the Sharpe ratio's 95 % interval.", null=True
                    ),
                ),
                (
                    "max_drawdown",
                    models.FloatField(blank=True, help_text="Maximum drawdown on held-out bars, 0 to 1.", null=True),
                ),
                ("turnover", models.FloatField(blank=True, help_text="Traded notional / equity, summed.", null=True)),
                (
                    "time_in_market",
                    models.FloatField(blank=True, help_text="Share of bars with a position, 0 to 1.", null=True),
                ),
            ],
            options={
                "ordering": ("-created_at",),
                "indexes": [
                    models.Index(fields=["policy", "created_at"], name="version_created_at"),
                    models.Index(fields=["policy", "held_out_bars"], name="version_held_out_bars"),
                    models.Index(fields=["policy", "held_out_return"], name="version_held_out_return"),
                    models.Index(fields=["policy", "sharpe"], name="version_sharpe"),
                    models.Index(fields=["policy", "max_drawdown"], name="version_max_drawdown"),
                    models.Index(fields=["policy", "turnover"], name="version_turnover"),
                    models.Index(fields=["policy", "time_in_market"], name="version_time_in_market"),
                    models.Index(
                        condition=models.Q(("weights_removed_at__isnull", True)),
                        fields=["policy", "number"],
                        name="version_with_weights",
                    ),
                    models.Index(
                        condition=models.Q(
                            ("weights_removed_at__isnull", False), models.Q(("artifact", ""), _negated=True)
                        ),
                        fields=["weights_removed_at"],
                        name="version_files_to_remove",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("policy", "number"), name="version_number_once_per_policy")
                ],
            },
        ),
        migrations.CreateModel(
            name="Validation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "validation_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="validations",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "trial",
                    models.OneToOneField(
                        blank=True,
                        help_text="The trial that the validation spends; empty for monitoring.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="validation",
                        to="rl_training.trial",
                    ),
                ),
                (
                    "monitored",
                    models.ForeignKey(
                        blank=True,
                        help_text="The validation that this validation monitors; empty for a trial.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="monitoring",
                        to="rl_training.validation",
                    ),
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
                ("config", models.JSONField()),
                ("start_from", models.CharField(max_length=10)),
                (
                    "window",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="The most bars that a fold trains on; empty for all bars before the fold.",
                        null=True,
                    ),
                ),
                ("folds", models.PositiveSmallIntegerField()),
                ("must_beat", models.JSONField(help_text="References that the account must beat.")),
                ("recipe", models.CharField(help_text="Digest of recipe and window.", max_length=64)),
                ("market_key", models.CharField(help_text="The key of the ledger's market.", max_length=64)),
                ("market", models.CharField(help_text="The market's label.", max_length=600)),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The user who requested the validation; empty for a command and for beat.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "started_at",
                    models.DateTimeField(
                        blank=True,
                        help_text="Time of the first start; the validation uses the bars until then.",
                        null=True,
                    ),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "bars_digest",
                    models.CharField(blank=True, help_text="Digest under which the bars are stored.", max_length=64),
                ),
                ("bars", models.PositiveIntegerField(blank=True, help_text="Number of the market's bars.", null=True)),
                (
                    "first_traded_at",
                    models.DateTimeField(blank=True, help_text="The first bar that is traded.", null=True),
                ),
                ("bars_last", models.DateTimeField(blank=True, help_text="The last bar.", null=True)),
                (
                    "accounts",
                    models.CharField(
                        blank=True, help_text="Artifact with the returns of all accounts.", max_length=200
                    ),
                ),
                ("accounts_sha256", models.CharField(blank=True, max_length=64)),
                (
                    "result",
                    models.JSONField(blank=True, help_text="See WalkForwardReport.as_dict() in core/run.", null=True),
                ),
                ("sharpe_per_bar", models.FloatField(blank=True, null=True)),
                (
                    "verdict",
                    models.CharField(
                        blank=True,
                        choices=[("validated", "Validated"), ("refused", "Refused"), ("inconclusive", "Inconclusive")],
                        help_text="The verdict of a trial.",
                        max_length=12,
                    ),
                ),
                (
                    "judgement",
                    models.JSONField(blank=True, help_text="The numbers that the verdict follows from.", null=True),
                ),
                (
                    "ended_at",
                    models.DateTimeField(blank=True, help_text="When monitoring ended the validation.", null=True),
                ),
                ("ended_because", models.TextField(blank=True)),
                ("error", models.TextField(blank=True)),
            ],
            options={
                "ordering": ("-requested_at",),
                "indexes": [
                    models.Index(fields=["-requested_at"], name="validation_requested_at"),
                    models.Index(fields=["policy", "-requested_at"], name="validation_of_policy"),
                    models.Index(fields=["recipe", "-requested_at"], name="validation_of_recipe"),
                    models.Index(fields=["market_key", "recipe"], name="validation_of_market"),
                    models.Index(
                        condition=models.Q(("bars_digest", ""), _negated=True),
                        fields=["bars_digest"],
                        name="validation_bars",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=("recipe",),
                        name="validation_one_active_per_recipe",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                        name="validation_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("monitored__isnull", True), ("trial__isnull", False)),
                            models.Q(("monitored__isnull", False), ("trial__isnull", True), ("verdict", "")),
                            _connector="OR",
                        ),
                        name="validation_is_trial_or_monitors",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(help_text="SHA-256 of the request's body.", max_length=64)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="rl_training.trainingrun"
                    ),
                ),
                ("created_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("user", "key"), name="idempotency_key_once_per_user")],
            },
        ),
        migrations.CreateModel(
            name="Arm",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="arms", to="rl_training.policystore"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("live", "the live version"),
                            ("flat", "flat"),
                            ("buy_and_hold", "buy and hold"),
                            ("newest", "newest version of the recipe"),
                            ("version", "pinned version"),
                            ("last_return_followed", "sign of the last return"),
                            ("last_return_opposed", "sign of the last return, opposed"),
                            ("last_20_bars_followed", "sign of the last 20 bars' return"),
                        ],
                        max_length=21,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The version that always decides; only for the kind `version`.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policyversion",
                    ),
                ),
                (
                    "recipe_policy",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The policy whose versions decide; only for the kind `newest`.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "recipe",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Digest of the recipe whose newest version decides; only for the kind `newest`.",
                        max_length=64,
                    ),
                ),
                (
                    "market",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="arms",
                        to="rl_training.followedmarket",
                    ),
                ),
                (
                    "rules",
                    models.JSONField(
                        help_text="The costs and positions of the account, as in the policy's environment."
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("opening", models.TextField(help_text="Why the account was opened.")),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ending", models.TextField(blank=True, help_text="Why the account ended.")),
                (
                    "error",
                    models.TextField(blank=True, help_text="Why the last decision failed; empty if it was made."),
                ),
            ],
            options={
                "ordering": ("policy", "pk"),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(
                            ("ended_at__isnull", True), ("recipe_policy__isnull", True), ("version__isnull", True)
                        ),
                        fields=("policy", "kind"),
                        name="arm_one_open_per_kind",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("policy", "version"),
                        name="arm_one_open_per_version",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("policy", "recipe_policy", "recipe"),
                        name="arm_one_open_per_recipe",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "version"), ("version__isnull", False)),
                            models.Q(models.Q(("kind", "version"), _negated=True), ("version__isnull", True)),
                            _connector="OR",
                        ),
                        name="arm_version_as_its_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("kind", "newest"), ("recipe_policy__isnull", False)),
                            models.Q(models.Q(("kind", "newest"), _negated=True), ("recipe_policy__isnull", True)),
                            _connector="OR",
                        ),
                        name="arm_recipe_as_its_kind",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ValidationStep",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
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
                (
                    "workers_lost",
                    models.PositiveSmallIntegerField(
                        default=0, help_text="Attempts that ended because the worker was lost."
                    ),
                ),
                (
                    "heartbeat_at",
                    models.DateTimeField(
                        blank=True, help_text="The worker's last heartbeat, by the database's clock.", null=True
                    ),
                ),
                ("error", models.TextField(blank=True)),
                (
                    "step_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                (
                    "validation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="rl_training.validation"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("prepare", "Prepare"), ("fold", "Fold"), ("judge", "Judge")], max_length=10
                    ),
                ),
                ("number", models.PositiveSmallIntegerField(default=0, help_text="The fold's number, from 0.")),
                (
                    "fold",
                    models.JSONField(
                        blank=True, help_text="The fold's bars; see Fold in core/run/walk_forward.", null=True
                    ),
                ),
                ("first_traded_at", models.DateTimeField(blank=True, null=True)),
                ("last_traded_at", models.DateTimeField(blank=True, null=True)),
                (
                    "iterations",
                    models.PositiveBigIntegerField(default=0, help_text="Number of iterations that the fold makes."),
                ),
                ("iterations_done", models.PositiveBigIntegerField(default=0)),
                (
                    "artifact",
                    models.CharField(blank=True, help_text="The fold's policy, until it is removed.", max_length=200),
                ),
                ("sha256", models.CharField(blank=True, help_text="Digest of the fold's weights.", max_length=64)),
                ("seconds", models.FloatField(blank=True, help_text="Seconds that the last attempt took.", null=True)),
                ("has_files", models.BooleanField(default=False, help_text="Whether attempts may have left files.")),
            ],
            options={
                "ordering": ("pk",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", ["queued", "running"])),
                        fields=["status", "heartbeat_at"],
                        name="validation_step_active",
                    ),
                    models.Index(
                        condition=models.Q(("has_files", True)), fields=["has_files"], name="validation_step_files"
                    ),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                        name="validation_step_status_known",
                    ),
                    models.UniqueConstraint(fields=("validation", "kind", "number"), name="validation_step_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ComparedVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "comparison",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to="rl_training.comparison"),
                ),
                (
                    "version",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="rl_training.policyversion"),
                ),
                ("place", models.PositiveSmallIntegerField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("comparison", "place"), name="compared_version_one_per_place"),
                    models.UniqueConstraint(fields=("comparison", "version"), name="compared_version_once"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ArmComparison",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "comparison_id",
                    models.CharField(
                        default=rl_training.models.runs.new_run_id, editable=False, max_length=12, unique=True
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="arm_comparisons",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "a",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="rl_training.arm"
                    ),
                ),
                (
                    "b",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="rl_training.arm"
                    ),
                ),
                (
                    "trial",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="arm_comparison",
                        to="rl_training.trial",
                    ),
                ),
                (
                    "largest_loss",
                    models.FloatField(
                        help_text="The largest loss of B against A in one bar, in log equity; chosen before the comparison begins."
                    ),
                ),
                (
                    "floor",
                    models.FloatField(
                        default=0.0, help_text="The gain of B over A in each bar that the test asks for, in log equity."
                    ),
                ),
                (
                    "requested_by",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The user who requested the comparison; empty for a command.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "requested_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now,
                        help_text="Time of the request; the comparison uses bars that open later.",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("running", "Running"), ("better", "Better"), ("lost", "Lost"), ("ended", "Ended")],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("ending", models.TextField(blank=True, help_text="Why the comparison ended.")),
                ("outcome", models.TextField(blank=True, help_text="What followed from the verdict.")),
                ("wealth", models.JSONField(help_text="The wealth of each stake.")),
                ("evidence", models.FloatField(default=1.0, help_text="K, the mean wealth; 0 once B has lost.")),
                ("bars", models.PositiveIntegerField(default=0, help_text="Bars that were compared.")),
                (
                    "capped",
                    models.PositiveIntegerField(default=0, help_text="Bars with a gain above the largest loss."),
                ),
                (
                    "first_bar_at",
                    models.DateTimeField(
                        blank=True, help_text="The bar at whose close the comparison begins.", null=True
                    ),
                ),
                (
                    "last_bar_at",
                    models.DateTimeField(blank=True, help_text="The last bar that was compared.", null=True),
                ),
                (
                    "a_equity",
                    models.FloatField(blank=True, help_text="Equity of A at the close of the last bar.", null=True),
                ),
                ("b_equity", models.FloatField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-requested_at",),
                "indexes": [
                    models.Index(fields=["-requested_at"], name="arm_comparison_requested_at"),
                    models.Index(fields=["policy", "-requested_at"], name="arm_comparison_of_policy"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "running")),
                        fields=("a", "b"),
                        name="arm_comparison_one_running_of_two_arms",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("a", models.F("b")), _negated=True), name="arm_comparison_of_two_arms"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("ended_at__isnull", True), ("status", "running")),
                            models.Q(
                                models.Q(("status", "running"), _negated=True),
                                models.Q(("ended_at", None), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="arm_comparison_ended_as_its_status",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ComparedBar",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "comparison",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="compared_bars",
                        to="rl_training.armcomparison",
                    ),
                ),
                ("opened_at", models.DateTimeField()),
                ("closed_at", models.DateTimeField()),
                ("difference", models.FloatField(help_text="The change of B's log equity minus that of A's.")),
                ("evidence", models.FloatField(help_text="K after the bar.")),
            ],
            options={
                "ordering": ("opened_at",),
                "constraints": [models.UniqueConstraint(fields=("comparison", "opened_at"), name="compared_bar_once")],
            },
        ),
        migrations.CreateModel(
            name="Deployment",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deployments",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("promote", "Promote"),
                            ("pin", "Pin"),
                            ("unpin", "Unpin"),
                            ("roll_back", "Roll Back"),
                            ("go_flat", "Go Flat"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        help_text="The version that is live from `at` on; empty if the policy is flat.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="deployments",
                        to="rl_training.policyversion",
                    ),
                ),
                (
                    "pinned",
                    models.BooleanField(
                        default=False, help_text="Whether automatic promotions leave the version live."
                    ),
                ),
                (
                    "at",
                    models.DateTimeField(
                        help_text="Time of the change by the database's clock, later than every earlier deployment of the policy."
                    ),
                ),
                (
                    "actor",
                    models.CharField(
                        choices=[
                            ("user", "User"),
                            ("command", "Command"),
                            ("gate", "Gate"),
                            ("guard", "Guard"),
                            ("migration", "Migration"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "actor_name",
                    models.CharField(
                        blank=True,
                        help_text="The user's name, which is kept when the user is removed.",
                        max_length=150,
                    ),
                ),
                (
                    "approved_by",
                    models.CharField(
                        blank=True,
                        help_text="The names of the users who approved the proposal; empty without a proposal.",
                        max_length=310,
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "comparison",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The comparison that is the evidence, if there is one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.comparison",
                    ),
                ),
                (
                    "arm_comparison",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The comparison on new bars that is the evidence, if there is one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.armcomparison",
                    ),
                ),
                (
                    "validation",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The validation that is the evidence, if there is one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.validation",
                    ),
                ),
                (
                    "previous",
                    models.OneToOneField(
                        blank=True,
                        help_text="The policy's previous deployment.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="following",
                        to="rl_training.deployment",
                    ),
                ),
                (
                    "began",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The earlier deployment since which the same version, or nothing, is live; empty if that changed.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.deployment",
                    ),
                ),
            ],
            options={
                "ordering": ("-at",),
                "constraints": [
                    models.UniqueConstraint(fields=("policy", "at"), name="deployment_one_at_a_time"),
                    models.UniqueConstraint(
                        condition=models.Q(("previous__isnull", True)),
                        fields=("policy",),
                        name="deployment_one_first_per_policy",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="deployment_has_reason"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("decision_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                (
                    "policy",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "arm",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="decisions",
                        to="rl_training.arm",
                    ),
                ),
                (
                    "bar",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.marketbar",
                    ),
                ),
                ("bar_opened_at", models.DateTimeField()),
                ("bar_closed_at", models.DateTimeField()),
                ("decided_at", models.DateTimeField()),
                ("valid_until", models.DateTimeField(help_text="The decision is not to be used after this time.")),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.policyversion",
                    ),
                ),
                ("weights_sha256", models.CharField(blank=True, max_length=64)),
                (
                    "trained_until",
                    models.DateTimeField(blank=True, help_text="The last bar that the version knows.", null=True),
                ),
                (
                    "deployment",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The deployment that made the version live; empty for other arms than the live arm.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.deployment",
                    ),
                ),
                (
                    "target_position",
                    models.FloatField(
                        help_text="The position to hold, as a fraction of equity, from the next bar's open on."
                    ),
                ),
                ("previous_target", models.FloatField(help_text="The target that the account last traded to.")),
                (
                    "probabilities",
                    models.JSONField(
                        blank=True, help_text="The probability of each position; empty for a rule.", null=True
                    ),
                ),
                ("value", models.FloatField(blank=True, help_text="The critic's value of the observation.", null=True)),
                (
                    "observation",
                    models.BinaryField(help_text="The observation as little-endian float32; empty for a rule."),
                ),
                ("observation_sha256", models.CharField(blank=True, max_length=64)),
                ("bars_digest", models.CharField(help_text="Digest of the bars that the decision saw.", max_length=64)),
                (
                    "equity",
                    models.FloatField(help_text="Equity at the close of the bar, in multiples of the initial equity."),
                ),
                ("cash", models.FloatField()),
                ("units", models.FloatField()),
                ("entry_equity", models.FloatField(help_text="Equity just after the last trade.")),
                ("peak", models.FloatField(help_text="The highest equity at a close so far.")),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="Whether the policy was enabled, that is trained."),
                ),
                (
                    "note",
                    models.TextField(blank=True, help_text="What happened since the previous decision, in words."),
                ),
            ],
            options={
                "ordering": ("-bar_opened_at",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("version__isnull", False)), fields=["version"], name="decision_of_version"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("policy", "arm", "bar_opened_at"), name="decision_once_per_arm_and_bar"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Watch",
            fields=[
                (
                    "arm",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="watch",
                        serialize=False,
                        to="rl_training.arm",
                    ),
                ),
                ("last_bar_at", models.DateTimeField()),
                ("equity", models.FloatField(help_text="Equity at the close of the bar.")),
                ("was_live", models.BooleanField(help_text="Whether a version decided at the bar.")),
                (
                    "deployment",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The deployment of the bar's decision.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.deployment",
                    ),
                ),
                ("peak", models.FloatField(help_text="The highest equity since the watch began anew.")),
                ("detector", models.JSONField(help_text="M of each stake; see core/evaluation/betting.py.")),
                ("evidence", models.FloatField(default=0.0, help_text="The mean M of the stakes.")),
                ("bars", models.PositiveIntegerField(default=0, help_text="Bars since the watch began anew.")),
            ],
        ),
        migrations.CreateModel(
            name="Proposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "policy",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="proposals",
                        to="rl_training.policystore",
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("promote", "Promote"),
                            ("pin", "Pin"),
                            ("unpin", "Unpin"),
                            ("roll_back", "Roll Back"),
                            ("go_flat", "Go Flat"),
                        ],
                        max_length=10,
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        blank=True,
                        help_text="The version that would be live; empty if the policy would be flat.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="proposals",
                        to="rl_training.policyversion",
                    ),
                ),
                ("reason", models.TextField()),
                (
                    "comparison",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The comparison that is the evidence, if there is one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.comparison",
                    ),
                ),
                (
                    "arm_comparison",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The comparison on new bars that is the evidence, if there is one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.armcomparison",
                    ),
                ),
                (
                    "validation",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The validation that is the evidence, if there is one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.validation",
                    ),
                ),
                (
                    "actor",
                    models.CharField(
                        choices=[
                            ("user", "User"),
                            ("command", "Command"),
                            ("gate", "Gate"),
                            ("guard", "Guard"),
                            ("migration", "Migration"),
                        ],
                        help_text="Who or what made the proposal.",
                        max_length=10,
                    ),
                ),
                (
                    "proposer",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The proposer, who may not approve the proposal if two users have to agree.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("proposer_name", models.CharField(blank=True, max_length=150)),
                (
                    "supported_by",
                    models.CharField(
                        blank=True,
                        help_text="The name of the user who supports a command's proposal.",
                        max_length=150,
                    ),
                ),
                ("proposed_at", models.DateTimeField(help_text="By the database's clock.")),
                (
                    "previous",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The newest deployment when the change was proposed, if there was one.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="rl_training.deployment",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("approved", "Approved"),
                            ("rejected", "Rejected"),
                            ("withdrawn", "Withdrawn"),
                            ("superseded", "Superseded"),
                        ],
                        default="waiting",
                        max_length=10,
                    ),
                ),
                (
                    "decided_by",
                    models.CharField(
                        blank=True, help_text="The name of the user who decided the proposal.", max_length=150
                    ),
                ),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                (
                    "deployment",
                    models.OneToOneField(
                        blank=True,
                        help_text="The deployment that the approval made.",
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="proposal",
                        to="rl_training.deployment",
                    ),
                ),
            ],
            options={
                "ordering": ("-proposed_at",),
                "indexes": [
                    models.Index(fields=["policy", "-proposed_at"], name="proposal_of_policy"),
                    models.Index(fields=["-proposed_at"], name="proposal_proposed_at"),
                    models.Index(condition=models.Q(("status", "waiting")), fields=["policy"], name="proposal_waiting"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("reason", ""), _negated=True), name="proposal_has_reason"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("deployment__isnull", False), ("status", "approved")),
                            models.Q(models.Q(("status", "approved"), _negated=True), ("deployment__isnull", True)),
                            _connector="OR",
                        ),
                        name="proposal_approved_has_deployment",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="TrainingEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("event_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("event_type", models.CharField(help_text="Also the name of the stream.", max_length=80)),
                (
                    "run",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="rl_training.trainingrun",
                    ),
                ),
                (
                    "deployment",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="event",
                        to="rl_training.deployment",
                    ),
                ),
                (
                    "validation",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="events",
                        to="rl_training.validation",
                    ),
                ),
                (
                    "decision",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="event",
                        to="rl_training.decision",
                    ),
                ),
                (
                    "arm_comparison",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="event",
                        to="rl_training.armcomparison",
                    ),
                ),
                ("timestamp", models.DateTimeField(default=django.utils.timezone.now)),
                ("payload", models.JSONField()),
                ("published_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [
                    models.Index(
                        condition=models.Q(("published_at__isnull", True)), fields=["id"], name="event_unpublished"
                    ),
                    models.Index(fields=["-timestamp"], name="event_timestamp"),
                    models.Index(fields=["event_type", "-timestamp"], name="event_of_type"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("run", "event_type"), name="event_once_per_run"),
                    models.UniqueConstraint(fields=("validation", "event_type"), name="event_once_per_validation"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("arm_comparison__isnull", True),
                                ("decision__isnull", True),
                                ("deployment__isnull", True),
                                ("run__isnull", False),
                                ("validation__isnull", True),
                            ),
                            models.Q(
                                ("arm_comparison__isnull", True),
                                ("decision__isnull", True),
                                ("deployment__isnull", False),
                                ("run__isnull", True),
                                ("validation__isnull", True),
                            ),
                            models.Q(
                                ("arm_comparison__isnull", True),
                                ("decision__isnull", True),
                                ("deployment__isnull", True),
                                ("run__isnull", True),
                                ("validation__isnull", False),
                            ),
                            models.Q(
                                ("arm_comparison__isnull", True),
                                ("decision__isnull", False),
                                ("deployment__isnull", True),
                                ("run__isnull", True),
                                ("validation__isnull", True),
                            ),
                            models.Q(
                                ("arm_comparison__isnull", False),
                                ("decision__isnull", True),
                                ("deployment__isnull", True),
                                ("run__isnull", True),
                                ("validation__isnull", True),
                            ),
                            _connector="OR",
                        ),
                        name="event_of_one_subject",
                    ),
                ],
            },
        ),
        migrations.AddField(
            model_name="comparison",
            name="versions",
            field=models.ManyToManyField(
                related_name="comparisons", through="rl_training.ComparedVersion", to="rl_training.policyversion"
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="initial_version",
            field=models.ForeignKey(
                blank=True,
                help_text="The version that training starts from; empty for random weights.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="started_from",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The version that training really started from.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.policyversion",
            ),
        ),
        migrations.AddIndex(
            model_name="trainingrun",
            index=models.Index(
                condition=models.Q(("started_from__isnull", False)), fields=["started_from"], name="run_started_from"
            ),
        ),
        migrations.RunPython(create, migrations.RunPython.noop),
    ]
