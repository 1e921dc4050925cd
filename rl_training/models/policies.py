"""Policies: their settings, and named queries for them."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from django.core.validators import RegexValidator
from django.db import models, transaction
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.utils import timezone
from simple_history.models import HistoricalRecords

from rl_training.core.config import SECTIONS, EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.config_problems import ConfigProblem
from rl_training.core.market_config import MarketConfig
from rl_training.models.columns import Concatenated
from rl_training.models.config_column import InvalidConfig, InvalidConfigError, config_column
from rl_training.models.policy_settings import (
    CHOICES,
    MAX_DEMOTION_BARS,
    MAX_EPISODES,
    MAX_INTERVAL_MINUTES,
    MAX_NEW_BARS,
    MAX_REVALIDATE_DAYS,
    MAX_RUN_MINUTES,
    MAX_SEEDS,
    MAX_STALL_MINUTES,
    RANGES,
    Fallback,
    MustBeat,
    Promotion,
    StartFrom,
    choice_constraint,
    range_constraint,
    range_validators,
)
from rl_training.models.slots import Move, Skipped, SlotReason, following, move_next_slots


class PolicyStoreQuerySet(models.QuerySet["PolicyStore"]):
    def due_or_changed(self, now: datetime, changed_since: datetime) -> PolicyStoreQuerySet:
        """Select what beat needs in a tick: policies that are due, and policies edited after `changed_since`.

        A policy with an active run is not due: its slot waits until the run has ended.
        """
        due = Q(enabled=True, next_run_at__lte=now) & ~Exists(self._runs().active())
        return self.filter(due | Q(updated_at__gt=changed_since))

    def held(self, pks: Collection[int]) -> PolicyStoreQuerySet:
        """Select these policies, and lock their rows until the transaction ends.

        The rows are locked in the order of their ids, so that two beat processes cannot deadlock. A transaction of
        SQLite locks the whole database anyway.
        """
        return self.filter(pk__in=pks).order_by("pk").select_for_update(no_key=True)

    def with_live_version(self) -> PolicyStoreQuerySet:
        """Add `live_version_id`, the id of the live version; None while nothing is live."""
        deployments = self.model._meta.get_field("deployments").related_model._default_manager
        newest = deployments.filter(policy=OuterRef("pk")).order_by("-at")
        return self.annotate(live_version_id=Subquery(newest.values("version")[:1]))

    def initial_versions(self) -> dict[int, int | None]:
        """Return the id of the version that each policy's next run starts from, by the policy's id; None for scratch.

        A policy without such a version starts from scratch.
        """
        versions = self.model._meta.get_field("versions").related_model._default_manager
        newest = versions.filter(policy=OuterRef("pk")).order_by("-number").values("pk")[:1]
        start = Case(
            When(start_from=StartFrom.NEWEST, then=Subquery(newest)),
            When(start_from=StartFrom.LIVE, then=F("live_version_id")),
            output_field=models.BigIntegerField(),
        )
        return dict(self.with_live_version().annotate(initial=start).values_list("pk", "initial"))

    def with_outcome(self) -> PolicyStoreQuerySet:
        """Add `last_status`, `last_finished_at`, `last_error` of the newest finished run, and `active_status`."""
        return self._with_newest(self._runs().finished())

    def with_last_run(self) -> PolicyStoreQuerySet:
        """Add the columns of with_outcome(), but of the newest ended run, which may be a cancelled run."""
        return self._with_newest(self._runs().filter(finished_at__isnull=False))

    def _with_newest(self, runs: Any) -> PolicyStoreQuerySet:
        newest = runs.order_by("-finished_at")
        return self.annotate(
            last_status=Subquery(newest.values("status")[:1]),
            last_finished_at=Subquery(newest.values("finished_at")[:1]),
            last_error=Subquery(newest.values("error")[:1]),
            active_status=Subquery(self._runs().active().values("status")[:1]),
        )

    def with_record(self, runs: int) -> PolicyStoreQuerySet:
        """Add `record`, one letter for each of the last `runs` finished runs, and `newest_run`, the id of the newest.

        The letters are `s` (succeeded) and `f` (failed), newest first.
        """
        newest = self._runs().finished().order_by("-finished_at")
        letter = Case(When(status="succeeded", then=Value("s")), default=Value("f"))
        return self.annotate(
            record=Concatenated(newest.annotate(text=letter).values("text")[:runs]),
            newest_run=Subquery(newest.values("pk")[:1]),
        )

    def failing(self) -> PolicyStoreQuerySet:
        """Select the policies whose newest finished run failed or whose last slot started no run."""
        newest = self._runs().finished().order_by("-finished_at")
        failed = self.alias(newest_status=Subquery(newest.values("status")[:1]))
        return failed.filter(Q(newest_status="failed") | ~Q(schedule_error=""))

    def _runs(self) -> Any:
        """Return the runs of the policy in the outer query, as a `TrainingRunQuerySet`."""
        runs = self.model._meta.get_field("runs").related_model
        return runs._default_manager.filter(policy=OuterRef("pk"))


class PolicyStore(models.Model):
    """A policy's settings (whether and how often it trains, on which market, how) and the bookkeeping of its schedule.

    Operators edit the settings; the scheduler and the workers write the bookkeeping at the same time. An edit is saved
    by `save_settings`, which writes the settings alone.
    """

    SETTINGS = ("name", "enabled", *RANGES, *CHOICES, *SECTIONS)

    name = models.CharField(
        max_length=50,
        unique=True,
        error_messages={"unique": "There is a policy %(model)s already."},
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
        validators=range_validators("interval_minutes"),
        help_text=f"Minutes from one scheduled run to the next. 1 to {MAX_INTERVAL_MINUTES:,} (366 days).",
    )
    episodes_per_run = models.PositiveIntegerField(
        default=2,
        validators=range_validators("episodes_per_run"),
        help_text=f"Market episodes in every parallel environment. 1 to {MAX_EPISODES:,}.",
    )
    start_from = models.CharField(
        max_length=10,
        choices=StartFrom,
        default=StartFrom.SCRATCH,
        help_text="What each run starts from. Runs that continue from a version memorise the bars they repeat.",
    )
    seeds = models.PositiveIntegerField(
        default=3,
        validators=range_validators("seeds"),
        help_text="Members that a run trains, each from a seed of its own. Their mean action probabilities are the "
        f"version's. 1 to {MAX_SEEDS}.",
    )
    min_new_bars = models.PositiveIntegerField(
        default=0,
        validators=range_validators("min_new_bars"),
        help_text="A slot is skipped while fewer bars than this have closed since the last successful run. "
        f"0 to {MAX_NEW_BARS:,}; 0 skips none.",
    )
    promotion = models.CharField(
        max_length=10,
        choices=Promotion,
        default=Promotion.VALIDATED,
        help_text="What makes a new version live.",
    )
    must_beat = models.CharField(
        max_length=15,
        choices=MustBeat,
        default=MustBeat.BUY_AND_HOLD,
        help_text="What the account of a walk-forward must beat, so that the recipe counts as validated.",
    )
    revalidate_days = models.PositiveIntegerField(
        default=30,
        validators=range_validators("revalidate_days"),
        help_text="Days after which a validated recipe is walked forward again, which can only end the validation. "
        f"1 to {MAX_REVALIDATE_DAYS:,}.",
    )
    fallback = models.CharField(
        max_length=10,
        choices=Fallback,
        default=Fallback.FLAT,
        help_text="What becomes live when a guard ends the live version. With none, no guard acts.",
    )
    demotion_bars = models.PositiveIntegerField(
        default=0,
        validators=range_validators("demotion_bars"),
        help_text="A version that loses nothing is demoted once in this many bars on average, a losing one far sooner. "
        f"0 to {MAX_DEMOTION_BARS:,}; 0: the bars of ten years.",
    )
    drawdown_limit = models.PositiveIntegerField(
        default=30,
        validators=range_validators("drawdown_limit"),
        help_text="A live version is ended when its paper account falls by more than this many percent from its peak. "
        "1 to 100; 100 means no limit.",
    )
    stall_limit_minutes = models.PositiveIntegerField(
        default=10,
        validators=range_validators("stall_limit_minutes"),
        help_text="An attempt of a run that makes no iteration for this many minutes is stopped, and the run is queued "
        "again. The bars of an evaluation count as iterations do. "
        f"1 to {MAX_STALL_MINUTES:,} (one day).",
    )
    run_limit_minutes = models.PositiveIntegerField(
        default=24 * 60,
        validators=range_validators("run_limit_minutes"),
        help_text="A run fails when one of its attempts takes longer than this many minutes. "
        f"1 to {MAX_RUN_MINUTES:,} (31 days).",
    )
    market: MarketConfig | InvalidConfig = config_column(MarketConfig)
    environment: EnvironmentConfig | InvalidConfig = config_column(EnvironmentConfig)
    ppo: PPOConfig | InvalidConfig = config_column(PPOConfig)
    updated_at = models.DateTimeField(auto_now=True)
    # simple_history records this user with the next change; where it is not set, the user of the present request.
    _history_user: Any

    next_run_at = models.DateTimeField(default=timezone.now, editable=False)
    total_runs = models.PositiveBigIntegerField(default=0, editable=False, help_text="Finished runs.")
    succeeded_runs = models.PositiveBigIntegerField(default=0, editable=False)
    schedule_error = models.TextField(
        blank=True, editable=False, help_text="Why the last slot started no run; empty if it started one."
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
            *(range_constraint(field) for field in RANGES),
            *(choice_constraint(field) for field in CHOICES),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def interval(self) -> timedelta:
        return timedelta(minutes=self.interval_minutes)

    @property
    def config_problems(self) -> list[ConfigProblem]:
        """The problems of the configs that are stored invalid, with paths such as `ppo.gamma`."""
        columns = {name: getattr(self, name) for name in SECTIONS}
        invalid = {name: value for name, value in columns.items() if isinstance(value, InvalidConfig)}
        return [problem.within(name) for name, value in invalid.items() for problem in value.problems]

    def training_config(self, *, episodes: int | None = None, seed: int = 0) -> TrainingConfig:
        """Return the config of a run of this policy, by default of `episodes_per_run` episodes.

        Raises `InvalidConfigError` when a config is stored invalid.
        """
        market, environment, ppo = self.market, self.environment, self.ppo
        if (
            isinstance(market, InvalidConfig)
            or isinstance(environment, InvalidConfig)
            or isinstance(ppo, InvalidConfig)
        ):
            raise InvalidConfigError(self.config_problems)
        episodes = self.episodes_per_run if episodes is None else episodes
        return TrainingConfig(
            market=market, environment=environment, ppo=ppo, episodes=episodes, seeds=self.seeds, seed=seed
        )

    def save_settings(self, *names: str) -> None:
        """Write all settings or the named ones, but no bookkeeping, which the scheduler or a worker may have changed.

        If this enables a policy whose slot passed while the policy was disabled, the policy is due now.
        """
        written = names or self.SETTINGS
        with transaction.atomic():
            if {"enabled", "interval_minutes"} & set(written):
                self._pass_slots_while_disabled(timezone.now(), enables=self.enabled and "enabled" in written)
            self.save(update_fields=[*written, "updated_at"])

    def _pass_slots_while_disabled(self, now: datetime, *, enables: bool) -> None:
        """Account for the slots until now if the stored policy is disabled and this save changes its rhythm."""
        stored = PolicyStore.objects.held([self.pk]).filter(enabled=False, next_run_at__lt=now).first()
        if stored and (enables or stored.interval_minutes != self.interval_minutes):
            slot = now if enables else following(stored.next_run_at, stored.interval, now)
            move_next_slots([Move(stored, slot, Skipped(SlotReason.DISABLED))])
