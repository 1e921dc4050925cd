"""Validations: walk-forwards of recipes, their steps, and their verdicts."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.utils import timezone

from rl_training.models.policies import PolicyStore
from rl_training.models.runs import new_run_id
from rl_training.models.version_results import MARKET_LENGTH
from rl_training.models.work.queued_work import QueuedWork, QueuedWorkQuerySet, active_index, work_constraints
from rl_training.models.work.trials import Trial


class ValidationQuerySet(models.QuerySet["Validation"]):
    def active(self) -> ValidationQuerySet:
        """Select the validations that have not ended."""
        return self.filter(status__in=Validation.ACTIVE)

    def of_recipe(self, recipe: str) -> ValidationQuerySet:
        """Select the validations of the recipe with this digest, the newest first, whichever policy requested them."""
        return self.filter(recipe=recipe).order_by("-requested_at", "-pk")

    def in_force(self) -> ValidationQuerySet:
        """Select the trials that validated their recipe, where nothing has ended the validation since."""
        return self.filter(Validation.IN_FORCE)

    def judged(self) -> ValidationQuerySet:
        """Select the trials that ended with a verdict."""
        return self.exclude(verdict="")

    def newest_of_recipes(self, market: str) -> ValidationQuerySet:
        """Select the newest successful validation of each recipe that was tried on the market with this key."""
        succeeded = self.filter(market_key=market, status="succeeded")
        newest = succeeded.filter(recipe=OuterRef("recipe")).order_by("-finished_at").values("pk")[:1]
        return succeeded.filter(pk=Subquery(newest))

    def with_progress(self) -> ValidationQuerySet:
        """Add `trained`, the number of trained folds."""
        return self.annotate(trained=Count("steps", Q(steps__kind="fold", steps__status="succeeded")))

    def listed(self) -> ValidationQuerySet:
        """Select the validations for a list, newest first, without large columns."""
        return self.select_related("policy", "trial").defer("result", "config").order_by("-requested_at", "-pk")


class Validation(models.Model):
    """One walk-forward of a recipe. Only `validation/` writes it.

    A walk-forward that is a trial has a row in the ledger and can validate the recipe. Any other walk-forward monitors
    a validated recipe: it can only end the validation.
    """

    class Status(models.TextChoices):
        QUEUED = "queued"  # no worker has begun
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"  # `error` gives the reason
        CANCELLED = "cancelled"  # at a user's request

    class Verdict(models.TextChoices):
        VALIDATED = "validated"
        REFUSED = "refused"
        INCONCLUSIVE = "inconclusive"

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    # A trial that validated its recipe, where nothing has ended the validation since.
    IN_FORCE = Q(verdict=Verdict.VALIDATED, ended_at=None, trial__isnull=False)

    validation_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="validations")
    trial = models.OneToOneField(
        Trial,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="validation",
        help_text="The trial that the validation spends; empty for monitoring.",
    )
    monitored = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="monitoring",
        help_text="The validation that this validation monitors; empty for a trial.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    # The recipe as a run stores it. It stays readable even if the present models refuse it.
    config = models.JSONField()
    start_from = models.CharField(max_length=10)
    window = models.PositiveIntegerField(
        null=True, blank=True, help_text="The most bars that a fold trains on; empty for all bars before the fold."
    )
    folds = models.PositiveSmallIntegerField()
    must_beat = models.JSONField(help_text="References that the account must beat.")
    recipe = models.CharField(max_length=64, help_text="Digest of recipe and window.")
    market_key = models.CharField(max_length=64, help_text="The key of the ledger's market.")
    market = models.CharField(max_length=MARKET_LENGTH, help_text="The market's label.")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The user who requested the validation; empty for a command and for beat.",
    )
    requested_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Time of the first start; the validation uses the bars until then."
    )
    finished_at = models.DateTimeField(null=True, blank=True)
    bars_digest = models.CharField(max_length=64, blank=True, help_text="Digest under which the bars are stored.")
    prices_digest = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        help_text="Digest of the bars without further columns; empty if the bars have none.",
    )
    bars = models.PositiveIntegerField(null=True, blank=True, help_text="Number of the market's bars.")
    first_traded_at = models.DateTimeField(null=True, blank=True, help_text="The first bar that is traded.")
    bars_last = models.DateTimeField(null=True, blank=True, help_text="The last bar.")
    accounts = models.CharField(max_length=200, blank=True, help_text="Artifact with the returns of all accounts.")
    accounts_sha256 = models.CharField(max_length=64, blank=True)
    result = models.JSONField(null=True, blank=True, help_text="See WalkForwardReport.as_dict() in core/run.")
    sharpe_per_bar = models.FloatField(null=True, blank=True)
    verdict = models.CharField(max_length=12, choices=Verdict, blank=True, help_text="The verdict of a trial.")
    judgement = models.JSONField(null=True, blank=True, help_text="The numbers that the verdict follows from.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="When monitoring ended the validation.")
    ended_because = models.TextField(blank=True)
    error = models.TextField(blank=True)

    objects = ValidationQuerySet.as_manager()

    class Meta:
        ordering = ("-requested_at",)
        indexes = (
            models.Index(fields=["-requested_at"], name="validation_requested_at"),
            models.Index(fields=["policy", "-requested_at"], name="validation_of_policy"),
            models.Index(fields=["recipe", "-requested_at"], name="validation_of_recipe"),
            models.Index(fields=["market_key", "recipe"], name="validation_of_market"),
            models.Index(fields=["bars_digest"], condition=~Q(bars_digest=""), name="validation_bars"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=["recipe"],
                condition=Q(status__in=["queued", "running"]),
                name="validation_one_active_per_recipe",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "succeeded", "failed", "cancelled"]),
                name="validation_status_known",
            ),
            models.CheckConstraint(
                condition=Q(trial__isnull=False, monitored__isnull=True)
                | Q(trial__isnull=True, monitored__isnull=False, verdict=""),
                name="validation_is_trial_or_monitors",
            ),
        )

    def __str__(self) -> str:
        return self.validation_id


class ValidationStepQuerySet(QueuedWorkQuerySet["ValidationStep"]):
    def in_order(self) -> ValidationStepQuerySet:
        """Select the steps with their validations and policies, those of the earliest validation first."""
        return self.select_related("validation__policy").order_by("validation_id", "pk")

    def sent(self) -> ValidationStepQuerySet:
        """Select the steps that a worker has or that wait in the workers' queue."""
        return self.active().filter(Q(status="running") | Q(sent_at__isnull=False))

    def unsent(self) -> ValidationStepQuerySet:
        """Select the steps whose message was not sent to the workers yet."""
        return self.filter(status="queued", sent_at=None)

    def with_files_to_remove(self) -> ValidationStepQuerySet:
        """Select the steps of ended validations whose files may still be there."""
        return self.filter(has_files=True).exclude(validation__status__in=Validation.ACTIVE)


class ValidationStep(QueuedWork):
    """A part of a validation that one worker executes.

    The first step reads the bars and plans the folds (`prepare`), then each step trains a fold (`fold`), and the last
    step trades all folds and judges (`judge`). The folds' policies are files that are removed after the validation
    ended.
    """

    TASK, ID = "rl_training.tasks.validate", "step_id"

    class Kind(models.TextChoices):
        PREPARE = "prepare"
        FOLD = "fold"
        JUDGE = "judge"

    step_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    validation = models.ForeignKey(Validation, on_delete=models.CASCADE, related_name="steps")
    kind = models.CharField(max_length=10, choices=Kind)
    number = models.PositiveSmallIntegerField(default=0, help_text="The fold's number, from 0.")
    fold = models.JSONField(null=True, blank=True, help_text="The fold's bars; see Fold in core/run/walk_forward.")
    first_traded_at = models.DateTimeField(null=True, blank=True)
    last_traded_at = models.DateTimeField(null=True, blank=True)
    iterations = models.PositiveBigIntegerField(default=0, help_text="Number of iterations that the fold makes.")
    iterations_done = models.PositiveBigIntegerField(default=0)
    artifact = models.CharField(max_length=200, blank=True, help_text="The fold's policy, until it is removed.")
    sha256 = models.CharField(max_length=64, blank=True, help_text="Digest of the fold's weights.")
    seconds = models.FloatField(null=True, blank=True, help_text="Seconds that the last attempt took.")
    has_files = models.BooleanField(default=False, help_text="Whether attempts may have left files.")

    objects = ValidationStepQuerySet.as_manager()

    class Meta:
        ordering = ("pk",)
        indexes = (
            active_index("validation_step"),
            models.Index(fields=["has_files"], condition=Q(has_files=True), name="validation_step_files"),
        )
        constraints = (
            *work_constraints("validation_step"),
            models.UniqueConstraint(fields=["validation", "kind", "number"], name="validation_step_once"),
        )

    @property
    def checkpoint_id(self) -> str:
        """The name of the step's files while it is not finished."""
        return self.step_id

    @property
    def progress(self) -> float:
        """The share of the fold's training that is done, 0 to 1."""
        return min(1.0, self.iterations_done / self.iterations) if self.iterations else 0.0
