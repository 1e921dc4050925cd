"""The rows that are the truth: policies, their training runs, the versions and events those produced."""

import re
import uuid

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django_pydantic_field import SchemaField
from simple_history.models import HistoricalRecords

from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.querysets import PolicyStoreQuerySet, TrainingEventQuerySet, TrainingRunQuerySet
from rl_training.runs.totals import RunTotal as RunTotal

MAX_INTERVAL_MINUTES = 366 * 24 * 60
MAX_EPISODES = 1_000_000
MAX_STALL_MINUTES = 24 * 60
MAX_RUN_MINUTES = 31 * 24 * 60


def new_run_id() -> str:
    """12 lower-case hex digits."""
    return uuid.uuid4().hex[:12]


class PolicyStore(models.Model):
    """A policy: whether it trains, how often, for how long, on what, and how."""

    # What an operator decides. Saving an edit writes these alone (`save_settings`), never the bookkeeping below,
    # which the scheduler and the workers write meanwhile.
    SETTINGS = (
        "name",
        "enabled",
        "interval_minutes",
        "episodes_per_run",
        "stall_limit_minutes",
        "run_limit_minutes",
        "market",
        "environment",
        "ppo",
    )

    name = models.CharField(
        max_length=50,
        unique=True,
        validators=[
            RegexValidator(
                re.compile(r"\A[a-z][a-z0-9_]*\Z"),
                "Lower-case letters, digits and underscores, starting with a letter.",
            )
        ],
        help_text="Lower-case letters, digits and underscores. It names the policy's streams and keys.",
    )
    enabled = models.BooleanField(default=True, help_text="Whether the schedule starts runs of this policy.")
    interval_minutes = models.PositiveIntegerField(
        default=60,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_INTERVAL_MINUTES)],
        help_text=f"Minutes from one scheduled run to the next. 1 to {MAX_INTERVAL_MINUTES:,} (a year).",
    )
    episodes_per_run = models.PositiveIntegerField(
        default=2,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_EPISODES)],
        help_text=f"Market episodes in every parallel environment. 1 to {MAX_EPISODES:,}.",
    )
    stall_limit_minutes = models.PositiveIntegerField(
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_STALL_MINUTES)],
        help_text="A run that makes no iteration for so many minutes is taken from its process. "
        f"1 to {MAX_STALL_MINUTES:,} (a day).",
    )
    run_limit_minutes = models.PositiveIntegerField(
        default=24 * 60,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_RUN_MINUTES)],
        help_text=f"A run that takes longer than so many minutes fails. 1 to {MAX_RUN_MINUTES:,} (a month).",
    )
    market = SchemaField(schema=MarketConfig, default=MarketConfig)
    environment = SchemaField(schema=EnvironmentConfig, default=EnvironmentConfig)
    ppo = SchemaField(schema=PPOConfig, default=PPOConfig)
    updated_at = models.DateTimeField(auto_now=True)

    next_run_at = models.DateTimeField(default=timezone.now, editable=False)
    total_runs = models.PositiveBigIntegerField(default=0, editable=False, help_text="Finished runs.")
    succeeded_runs = models.PositiveBigIntegerField(default=0, editable=False)
    schedule_error = models.TextField(
        blank=True, editable=False, help_text="Why the last slot started no run; empty when it did."
    )

    history = HistoricalRecords(
        excluded_fields=["updated_at", "next_run_at", "total_runs", "succeeded_runs", "schedule_error"]
    )
    objects = PolicyStoreQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "policy store"
        ordering = ("name",)
        indexes = (
            models.Index(fields=["next_run_at"], condition=Q(enabled=True), name="policy_due"),
            models.Index(fields=["updated_at"], name="policy_updated"),
        )
        constraints = (
            models.CheckConstraint(
                condition=Q(interval_minutes__gte=1, interval_minutes__lte=MAX_INTERVAL_MINUTES),
                name="policy_interval_minutes_range",
                violation_error_message=f"interval_minutes: 1 to {MAX_INTERVAL_MINUTES:,}.",
            ),
            models.CheckConstraint(
                condition=Q(episodes_per_run__gte=1, episodes_per_run__lte=MAX_EPISODES),
                name="policy_episodes_per_run_range",
                violation_error_message=f"episodes_per_run: 1 to {MAX_EPISODES:,}.",
            ),
            models.CheckConstraint(
                condition=Q(stall_limit_minutes__gte=1, stall_limit_minutes__lte=MAX_STALL_MINUTES),
                name="policy_stall_limit_minutes_range",
                violation_error_message=f"stall_limit_minutes: 1 to {MAX_STALL_MINUTES:,}.",
            ),
            models.CheckConstraint(
                condition=Q(run_limit_minutes__gte=1, run_limit_minutes__lte=MAX_RUN_MINUTES),
                name="policy_run_limit_minutes_range",
                violation_error_message=f"run_limit_minutes: 1 to {MAX_RUN_MINUTES:,}.",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def save_settings(self) -> None:
        """Write an edit of the settings, and nothing that a scheduler or worker may have written since it was read."""
        self.save(update_fields=[*self.SETTINGS, "updated_at"])


class TrainingRun(models.Model):
    """One execution of training. Only `lifecycle.py` changes its status."""

    class Status(models.TextChoices):
        QUEUED = "queued"  # waits for a worker
        RUNNING = "running"  # a worker holds it, as its heartbeat shows
        SUCCEEDED = "succeeded"  # made a policy version
        FAILED = "failed"  # `error` says why
        CANCELLED = "cancelled"  # taken back by somebody

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        COMMAND = "command"
        API = "api"
        ADMIN = "admin"

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    run_id = models.CharField(max_length=12, unique=True, default=new_run_id, editable=False)
    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="runs")
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    trigger = models.CharField(max_length=10, choices=Trigger)
    scheduled_for = models.DateTimeField(null=True, blank=True, help_text="The slot; none for a triggered run.")
    queued_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True, blank=True, help_text="When a worker was last told of it.")
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    workers_lost = models.PositiveSmallIntegerField(default=0, help_text="Attempts that ended without a word.")
    heartbeat_at = models.DateTimeField(null=True, blank=True, help_text="By the database's clock.")
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    initial_version = models.ForeignKey(
        "PolicyVersion",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="None: from scratch.",
    )
    episodes = models.PositiveIntegerField()
    episodes_done = models.PositiveIntegerField(default=0)
    iterations_done = models.PositiveBigIntegerField(default=0, help_text="Rollouts with the update on each.")
    # The snapshot stays readable after the schema has moved on: it is validated when the run starts, not when read.
    config = models.JSONField()
    market_summary = models.JSONField(null=True, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    avg_reward = models.FloatField(null=True, blank=True)
    final_reward = models.FloatField(null=True, blank=True)
    avg_policy_loss = models.FloatField(null=True, blank=True)
    avg_value_loss = models.FloatField(null=True, blank=True)
    environment_steps = models.PositiveBigIntegerField(default=0)
    episode_rewards = models.JSONField(default=list, blank=True)
    error = models.TextField(blank=True)
    traceback = models.TextField(blank=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering = ("-queued_at",)
        indexes = (
            models.Index(
                fields=["policy", "-finished_at"], condition=Q(finished_at__isnull=False), name="run_finished"
            ),
            # A page of a list is read from its place in one of these, however many runs there are.
            models.Index(fields=["-queued_at"], name="run_queued_at"),
            models.Index(fields=["policy", "-queued_at"], name="run_of_policy"),
            models.Index(fields=["status", "-queued_at"], name="run_of_status"),
            models.Index(fields=["trigger", "-queued_at"], name="run_of_trigger"),
            models.Index(fields=["-finished_at"], condition=Q(finished_at__isnull=False), name="run_finished_at"),
            models.Index(
                fields=["status", "heartbeat_at"], condition=Q(status__in=["queued", "running"]), name="run_active"
            ),
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


class PolicyVersion(models.Model):
    """One set of trained weights of a policy, numbered 1, 2, 3 ... within it."""

    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    run = models.OneToOneField(TrainingRun, on_delete=models.PROTECT, related_name="version")
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="None: from scratch."
    )
    created_at = models.DateTimeField(default=timezone.now)
    artifact = models.CharField(max_length=200, help_text="Folder in the artifact storage.")
    sha256 = models.CharField(max_length=64, help_text="Digest of the weights.")
    evaluation = models.JSONField()

    class Meta:
        ordering = ("-created_at",)
        constraints = (models.UniqueConstraint(fields=["policy", "number"], name="version_number_once_per_policy"),)

    def __str__(self) -> str:
        return f"{self.policy} version {self.number}"


class TrainingEvent(models.Model):
    """An event to announce on a Redis stream, written in the transaction of the change that it announces."""

    event_id = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    event_type = models.CharField(max_length=80, help_text="Also the name of the stream.")
    run = models.ForeignKey(TrainingRun, on_delete=models.PROTECT, related_name="events")
    timestamp = models.DateTimeField(default=timezone.now)
    payload = models.JSONField()
    published_at = models.DateTimeField(null=True, blank=True)

    objects = TrainingEventQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(fields=["id"], condition=Q(published_at__isnull=True), name="event_unpublished"),
            models.Index(fields=["-timestamp"], name="event_timestamp"),
            models.Index(fields=["event_type", "-timestamp"], name="event_of_type"),
        )
        constraints = (models.UniqueConstraint(fields=["run", "event_type"], name="event_once_per_run"),)

    def __str__(self) -> str:
        return f"{self.event_type} {self.event_id}"


class IdempotencyKey(models.Model):
    """A key under which a user triggered a run: asked again, the answer is that run."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    fingerprint = models.CharField(max_length=64, help_text="SHA-256 of what was asked for.")
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = (models.UniqueConstraint(fields=["user", "key"], name="idempotency_key_once_per_user"),)

    def __str__(self) -> str:
        return self.key
