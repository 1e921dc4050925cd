"""Training runs, and named queries for them."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import ExpressionWrapper, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from rl_training.models.columns import CHART_COLUMNS, LARGE_RUN_COLUMNS, POLICY_SUMMARY_COLUMNS, SUMMARY_COLUMNS
from rl_training.models.policies import PolicyStore
from rl_training.models.storage.packed_json import PackedJSONField


def new_run_id() -> str:
    """Return a random run id: 12 lower-case hex digits."""
    return uuid.uuid4().hex[:12]


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def active(self) -> TrainingRunQuerySet:
        """Select the queued and running runs."""
        return self.filter(status__in=["queued", "running"])

    def progress(self) -> TrainingRunQuerySet:
        """Select the active runs with their progress."""
        return self.active().only("policy_id", "run_id", "status", "episodes", "episodes_done", "started_at")

    def watched(self) -> TrainingRunQuerySet:
        """Select the active runs, the earliest started first, with the sizes from which their environment steps follow.

        Adds `num_envs`, `rollout_length`, `episode_length` and `seeds` of the run's config, None where it lacks them.
        """
        sizes = {"num_envs": F("config__ppo__num_envs"), "rollout_length": F("config__ppo__rollout_length")}
        sizes |= {"episode_length": F("config__environment__episode_length"), "seeds": F("config__seeds")}
        runs = self.active().select_related("policy").defer(*LARGE_RUN_COLUMNS).annotate(**sizes)
        runs = runs.with_heartbeat_age()
        return runs.order_by(F("started_at").asc(nulls_last=True), "pk")

    def last_active(self, policies: Collection[int]) -> dict[int, tuple[datetime, datetime]]:
        """Return the times from which and until which each policy's last ended run was active, by the policy's id."""
        ended = self.filter(policy=OuterRef("pk"), finished_at__isnull=False).order_by("-finished_at")
        newest = PolicyStore.objects.filter(pk__in=policies).values(run=Subquery(ended.values("pk")[:1]))
        runs = self.filter(pk__in=newest).only("policy_id", "queued_at", "started_at", "finished_at")
        # A requeued run has a later `queued_at`.
        began = {run.policy_id: min(run.queued_at, run.started_at or run.queued_at) for run in runs}
        return {run.policy_id: (began[run.policy_id], run.finished_at) for run in runs if run.finished_at}

    def last_succeeded(self, policies: Collection[int]) -> TrainingRunQuerySet:
        """Select each policy's last successful run, with the columns about its market."""
        ended = self.filter(policy=OuterRef("pk"), status="succeeded", finished_at__isnull=False)
        newest = Subquery(ended.order_by("-finished_at").values("pk")[:1])
        runs = self.filter(pk__in=PolicyStore.objects.filter(pk__in=policies).values(run=newest))
        return runs.only("policy_id", "config", "market_summary")

    def finished(self) -> TrainingRunQuerySet:
        """Select the succeeded and failed runs, which the summary counts.

        A cancelled run says nothing about the quality of training.
        """
        return self.filter(finished_at__isnull=False, status__in=["succeeded", "failed"])

    def held_by(self, run: TrainingRun) -> TrainingRunQuerySet:
        """Select `run` while it is active and has the status and attempt that it was read with.

        A worker thereby selects its run only while the worker's attempt owns the run.
        """
        return self.active().filter(pk=run.pk, status=run.status, attempt=run.attempt)

    def lost(self, timeout: timedelta) -> TrainingRunQuerySet:
        """Select the running runs without a heartbeat for `timeout`.

        The time is the database's, because its clock wrote the heartbeats.
        """
        return self.filter(status="running", heartbeat_at__lt=Now() - timeout)

    def with_future_heartbeat(self) -> TrainingRunQuerySet:
        """Select the running runs with a last heartbeat in the future: the database's clock was set back since."""
        return self.filter(status="running", heartbeat_at__gt=Now())

    def with_heartbeat_age(self) -> TrainingRunQuerySet:
        """Add `heartbeat_age`, the time since the last heartbeat by the database's clock; None without a heartbeat."""
        age = ExpressionWrapper(Now() - F("heartbeat_at"), output_field=models.DurationField())
        return self.annotate(heartbeat_age=age)

    def undelivered(self, now: datetime, timeout: timedelta) -> TrainingRunQuerySet:
        """Select the queued runs whose task message was last sent more than `timeout` ago: the message may be lost.

        Messages sent more than `timeout` in the future count too: the clock was set back since.
        """
        sent = Coalesce("sent_at", "queued_at")
        return self.filter(status="queued").alias(sent=sent).exclude(sent__range=(now - timeout, now + timeout))

    def with_lost_artifacts(self, after: tuple[datetime, int], before: datetime) -> TrainingRunQuerySet:
        """Select the runs whose attempts may have left an artifact that no version refers to, oldest end first.

        `after` is the `finished_at` and the `pk` of a run that ended earlier; the selected runs ended before `before`.
        A run that made its version in its first attempt has left no such artifact.
        """
        finished_at, pk = after
        ended = self.filter(finished_at__gte=finished_at, finished_at__lt=before, attempt__gte=1)
        ended = ended.exclude(finished_at=finished_at, pk__lte=pk).exclude(status="succeeded", attempt=1)
        columns = ("run_id", "attempt", "finished_at", "policy__name", "version__artifact")
        return ended.select_related("policy", "version").only(*columns).order_by("finished_at", "pk")

    def recent(self, policy: PolicyStore) -> TrainingRunQuerySet:
        """Select the finished runs of a policy, newest first, with the columns of a summary."""
        return self.filter(policy=policy).finished().order_by("-finished_at").only(*SUMMARY_COLUMNS)

    def summary(self, policy: str) -> models.QuerySet[TrainingRun, dict[str, Any]]:
        """Select the finished runs of the policy with this name, newest first, as dicts.

        The keys are `SUMMARY_COLUMNS`, and `POLICY_SUMMARY_COLUMNS` after `policy__`. One statement reads both, so that
        the policy's counts match the runs.
        """
        runs = self.of_policy(policy).finished()
        columns = (f"policy__{column}" for column in POLICY_SUMMARY_COLUMNS)
        found: models.QuerySet[TrainingRun, dict[str, Any]]
        found = runs.order_by("-finished_at").values(*SUMMARY_COLUMNS, *columns)
        return found

    def charted(self, policy: str) -> models.QuerySet[TrainingRun, dict[str, Any]]:
        """Select the finished runs of the policy with this name, newest first, as dicts of `CHART_COLUMNS`.

        The key `market` holds the market of the run's config.
        """
        runs = self.of_policy(policy).finished().order_by("-finished_at")
        found: models.QuerySet[TrainingRun, dict[str, Any]] = runs.values(*CHART_COLUMNS, market=F("config__market"))
        return found

    def listed(self) -> TrainingRunQuerySet:
        """Select the runs for a list, newest first, with their policies, users and versions."""
        listed = self.order_by("-queued_at", "-pk").select_related("policy").with_origin()
        return listed.defer(*LARGE_RUN_COLUMNS)

    def with_origin(self) -> TrainingRunQuerySet:
        """Add `triggered_by_name`, the user who triggered the run, and `version_number`, the version that it made."""
        return self.annotate(triggered_by_name=F("triggered_by__username"), version_number=F("version__number"))

    def of_policy(self, policy: str) -> TrainingRunQuerySet:
        """Select the runs of the policy with this name."""
        return self.filter(policy=Subquery(PolicyStore.objects.filter(name=policy).values("pk")))

    def older_than(self, queued_at: datetime, pk: int) -> TrainingRunQuerySet:
        """Select the runs that follow, in the order of `listed`, the run with this `queued_at` and `pk`.

        The first condition alone bounds the scan of the index on `queued_at`.
        """
        return self.filter(queued_at__lte=queued_at).exclude(queued_at=queued_at, pk__gte=pk)


class TrainingRun(models.Model):
    """One execution of training. Only `runs/lifecycle.py` changes its status."""

    class Status(models.TextChoices):
        QUEUED = "queued"  # waits for a worker
        RUNNING = "running"  # a worker trains it and writes its heartbeat
        SUCCEEDED = "succeeded"  # made a policy version
        FAILED = "failed"  # `error` gives the reason
        CANCELLED = "cancelled"  # at a user's request

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        COMMAND = "command"
        API = "api"
        ADMIN = "admin"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    run_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    # The index `run_of_policy` begins with the policy.
    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="runs", db_index=False)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    trigger = models.CharField(max_length=10, choices=Trigger)
    # Without an index: nothing searches by the user, and only the deletion of a user would gain.
    triggered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The user who triggered the run; empty for the schedule and for commands.",
    )
    scheduled_for = models.DateTimeField(null=True, blank=True, help_text="The slot; empty for a triggered run.")
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When a task message was last sent to the workers.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    workers_lost = models.PositiveSmallIntegerField(
        default=0, help_text="Attempts that ended because the worker was lost."
    )
    heartbeat_at = models.DateTimeField(
        null=True, blank=True, help_text="The worker's last heartbeat, by the database's clock."
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    initial_version = models.ForeignKey(
        "PolicyVersion",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The version that training starts from; empty for random weights.",
    )
    # Null in both columns until training has loaded the initial version.
    started_from = models.ForeignKey(
        "PolicyVersion",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The version that training really started from.",
    )
    start_note = models.TextField(  # noqa: DJ001  # null: not known yet
        null=True,
        blank=True,
        help_text="Why the run started from another version than its initial version, or from scratch.",
    )
    episodes = models.PositiveIntegerField()
    episodes_done = models.PositiveIntegerField(default=0)
    iterations_done = models.PositiveBigIntegerField(default=0, help_text="Rollouts, each followed by its update.")
    # A run of an older release may have settings that the present models refuse. The snapshot stays readable, because
    # it is validated only when the run starts.
    config = models.JSONField()
    recipe = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Digest of the recipe; see core/run/recipe.py."
    )
    market_summary = models.JSONField(null=True, blank=True)
    # The value in `market_summary` has no index. Retention looks bars up by this column.
    bars_digest = models.CharField(
        max_length=64, blank=True, default="", db_default="", help_text="Digest under which the bars are stored."
    )
    computing_environment = PackedJSONField(
        null=True,
        blank=True,
        help_text="Versions and kernels that the last attempt computes with; see core/run/computing_environment.py.",
    )
    duration_seconds = models.FloatField(null=True, blank=True)
    avg_reward = models.FloatField(null=True, blank=True)
    final_reward = models.FloatField(null=True, blank=True)
    avg_policy_loss = models.FloatField(null=True, blank=True)
    avg_value_loss = models.FloatField(null=True, blank=True)
    environment_steps = models.PositiveBigIntegerField(default=0)
    episode_rewards = PackedJSONField(default=list, blank=True)
    curve = PackedJSONField(null=True, blank=True, help_text="Rewards and PPO's metrics; see core/run/curves.py.")
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering = ("-queued_at",)
        indexes = (
            models.Index(
                fields=["policy", "-finished_at"], condition=Q(finished_at__isnull=False), name="run_finished"
            ),
            # Lists are paged by cursor over one of these, so that a page costs the same at any number of runs.
            models.Index(fields=["-queued_at"], name="run_queued_at"),
            models.Index(fields=["policy", "-queued_at"], name="run_of_policy"),
            models.Index(fields=["status", "-queued_at"], name="run_of_status"),
            models.Index(fields=["trigger", "-queued_at"], name="run_of_trigger"),
            models.Index(fields=["-finished_at"], condition=Q(finished_at__isnull=False), name="run_finished_at"),
            models.Index(fields=["bars_digest", "finished_at"], condition=~Q(bars_digest=""), name="run_bars"),
            models.Index(
                fields=["status", "heartbeat_at"], condition=Q(status__in=["queued", "running"]), name="run_active"
            ),
            # Retention looks for rows that refer to a version before it removes the version.
            models.Index(fields=["started_from"], condition=Q(started_from__isnull=False), name="run_started_from"),
        )
        constraints = (
            models.UniqueConstraint(fields=["policy", "scheduled_for"], name="run_once_per_slot"),
            models.UniqueConstraint(
                fields=["policy"], condition=Q(status__in=["queued", "running"]), name="run_one_active_per_policy"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "succeeded", "failed", "cancelled"]),
                name="run_status_known",
            ),
            models.CheckConstraint(condition=Q(episodes__gte=1), name="run_episodes_minimum"),
        )

    def __str__(self) -> str:
        return self.run_id

    @property
    def checkpoint_id(self) -> str:
        """The name of the run's files while it is not finished."""
        return self.run_id
