import django.core.validators
import django.db.models.deletion
import django.utils.timezone
import rl_training.models.runs
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rl_training", "0022_evidence_of_deployments"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Trial",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField(help_text="From 1, within the market.")),
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
                        help_text="Each fold trains on so many bars at most; none: on all before it.",
                        null=True,
                    ),
                ),
                ("folds", models.PositiveSmallIntegerField()),
                ("must_beat", models.JSONField(help_text="References that the account must beat.")),
                ("recipe", models.CharField(help_text="Digest of recipe and window.", max_length=64)),
                ("market_key", models.CharField(help_text="The key of the ledger's market.", max_length=64)),
                ("market", models.CharField(help_text="The market's label.", max_length=600)),
                ("requested_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "started_at",
                    models.DateTimeField(blank=True, help_text="First start: bars until then are used.", null=True),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                (
                    "bars_digest",
                    models.CharField(blank=True, help_text="Digest under which the bars are stored.", max_length=64),
                ),
                ("bars", models.PositiveIntegerField(blank=True, help_text="Of the market.", null=True)),
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
                        help_text="Of a trial.",
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
                        blank=True, help_text="The worker's last, by the database's clock.", null=True
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
                    "kind",
                    models.CharField(
                        choices=[("prepare", "Prepare"), ("fold", "Fold"), ("judge", "Judge")], max_length=10
                    ),
                ),
                ("number", models.PositiveSmallIntegerField(default=0, help_text="Of the fold, from 0.")),
                (
                    "fold",
                    models.JSONField(
                        blank=True, help_text="The fold's bars; see Fold in core/run/walk_forward.", null=True
                    ),
                ),
                ("first_traded_at", models.DateTimeField(blank=True, null=True)),
                ("last_traded_at", models.DateTimeField(blank=True, null=True)),
                ("iterations", models.PositiveBigIntegerField(default=0, help_text="That the fold makes in all.")),
                ("iterations_done", models.PositiveBigIntegerField(default=0)),
                (
                    "artifact",
                    models.CharField(blank=True, help_text="The fold's policy, until it is removed.", max_length=200),
                ),
                ("sha256", models.CharField(blank=True, help_text="Digest of the fold's weights.", max_length=64)),
                ("seconds", models.FloatField(blank=True, help_text="That the last attempt took.", null=True)),
                ("has_files", models.BooleanField(default=False, help_text="Whether attempts may have left files.")),
            ],
            options={
                "ordering": ("pk",),
            },
        ),
        migrations.RemoveConstraint(
            model_name="policystore",
            name="policy_promotion_known",
        ),
        migrations.RemoveConstraint(
            model_name="trainingevent",
            name="event_of_run_or_deployment",
        ),
        migrations.AddField(
            model_name="historicalpolicystore",
            name="must_beat",
            field=models.CharField(
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
        migrations.AddField(
            model_name="historicalpolicystore",
            name="revalidate_days",
            field=models.PositiveIntegerField(
                default=30,
                help_text="Days after which a validated recipe is walked forward again, which can only end the validation. 1 to 3,650.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3650),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policystore",
            name="must_beat",
            field=models.CharField(
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
        migrations.AddField(
            model_name="policystore",
            name="revalidate_days",
            field=models.PositiveIntegerField(
                default=30,
                help_text="Days after which a validated recipe is walked forward again, which can only end the validation. 1 to 3,650.",
                validators=[
                    django.core.validators.MinValueValidator(1),
                    django.core.validators.MaxValueValidator(3650),
                ],
            ),
        ),
        migrations.AddField(
            model_name="policyversion",
            name="held_back",
            field=models.TextField(
                blank=True,
                db_default="",
                default="",
                help_text="Why the gate holds it back; empty: it does not.",
            ),
        ),
        migrations.AddField(
            model_name="trainingrun",
            name="recipe",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Digest of the recipe; see core/run/recipe.py.",
                max_length=64,
            ),
        ),
        migrations.AlterField(
            model_name="historicalpolicystore",
            name="promotion",
            field=models.CharField(
                choices=[
                    ("validated", "validated: the gate, if the recipe is validated and the version passes the guards"),
                    ("manual", "manual: a person"),
                    ("newest", "newest: the run that makes it"),
                ],
                default="validated",
                help_text="What makes a new version live.",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="policystore",
            name="promotion",
            field=models.CharField(
                choices=[
                    ("validated", "validated: the gate, if the recipe is validated and the version passes the guards"),
                    ("manual", "manual: a person"),
                    ("newest", "newest: the run that makes it"),
                ],
                default="validated",
                help_text="What makes a new version live.",
                max_length=10,
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("revalidate_days__gte", 1), ("revalidate_days__lte", 3650)),
                name="policy_revalidate_days_range",
                violation_error_message="revalidate_days: 1 to 3,650.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("promotion__in", ["validated", "manual", "newest"])),
                name="policy_promotion_known",
                violation_error_message="promotion: one of validated, manual, newest.",
            ),
        ),
        migrations.AddConstraint(
            model_name="policystore",
            constraint=models.CheckConstraint(
                condition=models.Q(("must_beat__in", ["flat", "buy_and_hold", "all"])),
                name="policy_must_beat_known",
                violation_error_message="must_beat: one of flat, buy_and_hold, all.",
            ),
        ),
        migrations.AddField(
            model_name="trial",
            name="market",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="ledger", to="rl_training.trialmarket"
            ),
        ),
        migrations.AddField(
            model_name="validation",
            name="monitored",
            field=models.ForeignKey(
                blank=True,
                help_text="The validation that this one monitors; none for a trial.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="monitoring",
                to="rl_training.validation",
            ),
        ),
        migrations.AddField(
            model_name="validation",
            name="policy",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="validations", to="rl_training.policystore"
            ),
        ),
        migrations.AddField(
            model_name="validation",
            name="requested_by",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The user who requested it; none for a command and for beat.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="validation",
            name="trial",
            field=models.OneToOneField(
                blank=True,
                help_text="None: monitoring.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="validation",
                to="rl_training.trial",
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="validation",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The validation that is the evidence for it; none: there is none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.validation",
            ),
        ),
        migrations.AddField(
            model_name="proposal",
            name="validation",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                help_text="The validation that is the evidence for it; none: there is none.",
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="rl_training.validation",
            ),
        ),
        migrations.AddField(
            model_name="trainingevent",
            name="validation",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="events",
                to="rl_training.validation",
            ),
        ),
        migrations.AddConstraint(
            model_name="trainingevent",
            constraint=models.UniqueConstraint(fields=("validation", "event_type"), name="event_once_per_validation"),
        ),
        migrations.AddConstraint(
            model_name="trainingevent",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("deployment__isnull", True), ("run__isnull", False), ("validation__isnull", True)),
                    models.Q(("deployment__isnull", False), ("run__isnull", True), ("validation__isnull", True)),
                    models.Q(("deployment__isnull", True), ("run__isnull", True), ("validation__isnull", False)),
                    _connector="OR",
                ),
                name="event_of_one_subject",
            ),
        ),
        migrations.AddField(
            model_name="validationstep",
            name="validation",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE, related_name="steps", to="rl_training.validation"
            ),
        ),
        migrations.AddConstraint(
            model_name="trial",
            constraint=models.UniqueConstraint(fields=("market", "number"), name="trial_number_once_per_market"),
        ),
        migrations.AddConstraint(
            model_name="trial",
            constraint=models.CheckConstraint(condition=models.Q(("number__gte", 1)), name="trial_number_from_one"),
        ),
        migrations.AddIndex(
            model_name="validation",
            index=models.Index(fields=["-requested_at"], name="validation_requested_at"),
        ),
        migrations.AddIndex(
            model_name="validation",
            index=models.Index(fields=["policy", "-requested_at"], name="validation_of_policy"),
        ),
        migrations.AddIndex(
            model_name="validation",
            index=models.Index(fields=["recipe", "-requested_at"], name="validation_of_recipe"),
        ),
        migrations.AddIndex(
            model_name="validation",
            index=models.Index(fields=["market_key", "recipe"], name="validation_of_market"),
        ),
        migrations.AddIndex(
            model_name="validation",
            index=models.Index(
                condition=models.Q(("bars_digest", ""), _negated=True), fields=["bars_digest"], name="validation_bars"
            ),
        ),
        migrations.AddConstraint(
            model_name="validation",
            constraint=models.UniqueConstraint(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=("recipe",),
                name="validation_one_active_per_recipe",
            ),
        ),
        migrations.AddConstraint(
            model_name="validation",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                name="validation_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="validation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("monitored__isnull", True), ("trial__isnull", False)),
                    models.Q(("monitored__isnull", False), ("trial__isnull", True), ("verdict", "")),
                    _connector="OR",
                ),
                name="validation_is_trial_or_monitors",
            ),
        ),
        migrations.AddIndex(
            model_name="validationstep",
            index=models.Index(
                condition=models.Q(("status__in", ["queued", "running"])),
                fields=["status", "heartbeat_at"],
                name="validation_step_active",
            ),
        ),
        migrations.AddIndex(
            model_name="validationstep",
            index=models.Index(
                condition=models.Q(("has_files", True)), fields=["has_files"], name="validation_step_files"
            ),
        ),
        migrations.AddConstraint(
            model_name="validationstep",
            constraint=models.CheckConstraint(
                condition=models.Q(("status__in", ["queued", "running", "succeeded", "failed", "cancelled"])),
                name="validation_step_status_known",
            ),
        ),
        migrations.AddConstraint(
            model_name="validationstep",
            constraint=models.UniqueConstraint(fields=("validation", "kind", "number"), name="validation_step_once"),
        ),
    ]
