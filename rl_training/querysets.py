"""Every query that has a meaning has a name here."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Now

from rl_training.core.config import SECTIONS

if TYPE_CHECKING:
    from rl_training.models import PolicyStore, TrainingEvent, TrainingRun  # noqa: F401

# What the summary of a policy shows.
POLICY_SUMMARY_COLUMNS = ("name", "enabled", "interval_minutes", "episodes_per_run", "total_runs", "succeeded_runs")
# What the summary of a run shows; the snapshot and the traceback are left in the database.
SUMMARY_COLUMNS = (
    "run_id",
    "status",
    "episodes",
    "finished_at",
    "duration_seconds",
    "avg_reward",
    "final_reward",
    "avg_policy_loss",
    "avg_value_loss",
    "error",
)

# What is dated further ahead than this is not of now.
AHEAD_AT_MOST = timedelta(minutes=1)

# Of a policy, as pydantic models: reading one that is invalid raises.
TYPED_COLUMNS = tuple(SECTIONS)
# What a chart of a run is made of.
CHART_COLUMNS = ("pk", "status", "finished_at", "duration_seconds", "avg_reward", "episodes_done", "environment_steps")
# What a run's row may hold much of; a list of runs leaves it in the database.
LARGE_RUN_COLUMNS = ("config", "market_summary", "episode_rewards", "traceback")


def typed_columns(relation: str) -> list[str]:
    """Those of a policy that a query reaches over `relation`, to be left in the database."""
    return [f"{relation}__{name}" for name in TYPED_COLUMNS]


def large_run_columns(relation: str) -> list[str]:
    """Those of a run that a query reaches over `relation`, likewise."""
    return [f"{relation}__{name}" for name in LARGE_RUN_COLUMNS]


class OneAfterAnother(Subquery):
    """The texts of a query, of its one column `text`, as one text; null without any.

    In the query's order, as every database gives them in practice.
    """

    output_field = models.TextField()
    template = "(SELECT STRING_AGG(text, '') FROM (%(subquery)s) AS texts)"

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, "(SELECT GROUP_CONCAT(text, '') FROM (%(subquery)s) AS texts)")


class PolicyStoreQuerySet(models.QuerySet["PolicyStore"]):
    def due_or_changed(self, now: datetime, changed_since: datetime) -> PolicyStoreQuerySet:
        """What beat looks at in a tick: policies whose slot has come, and policies that were edited lately.

        A policy that has an active run is not due: its slot waits for that run's end. The typed columns are left
        out: a row that holds an invalid one must not hide the others.
        """
        due = Q(enabled=True, next_run_at__lte=now) & ~Exists(self._runs().active())
        return self.filter(due | Q(updated_at__gt=changed_since)).only(
            "name", "enabled", "interval_minutes", "episodes_per_run", "updated_at", "next_run_at"
        )

    def held_for_enqueue(self, pks: Collection[int]) -> PolicyStoreQuerySet:
        """Those of the policies that are enabled, locked until the end of the transaction.

        In one order, so that two beats never wait for each other's. SQLite's transactions lock all rows anyway.
        """
        return self.filter(pk__in=pks, enabled=True).order_by("pk").select_for_update(no_key=True)

    def newest_versions(self) -> dict[int, int | None]:
        """The id of each policy's newest version, by the policy's; None: it has no version."""
        versions = self.model._meta.get_field("versions").related_model._default_manager
        newest = versions.filter(policy=OuterRef("pk")).order_by("-number").values("pk")[:1]
        return dict(self.annotate(newest=Subquery(newest)).values_list("pk", "newest"))

    def with_outcome(self) -> PolicyStoreQuerySet:
        """Adds `last_status`, `last_finished_at`, `last_error` of the newest finished run, and `active_status`.

        The typed columns are left out, as in `due_or_changed`.
        """
        newest = self._runs().finished().order_by("-finished_at")
        return self.defer(*TYPED_COLUMNS).annotate(
            last_status=Subquery(newest.values("status")[:1]),
            last_finished_at=Subquery(newest.values("finished_at")[:1]),
            last_error=Subquery(newest.values("error")[:1]),
            active_status=Subquery(self._runs().active().values("status")[:1]),
        )

    def with_record(self, runs: int) -> PolicyStoreQuerySet:
        """Adds `record`, a letter for each of the last `runs` finished runs, newest first, and `newest_run`, their
        first one's id. A letter is `s`: succeeded, or `f`: failed.

        The typed columns are left out, as in `due_or_changed`.
        """
        newest = self._runs().finished().order_by("-finished_at")
        letter = Case(When(status="succeeded", then=Value("s")), default=Value("f"))
        return self.defer(*TYPED_COLUMNS).annotate(
            record=OneAfterAnother(newest.annotate(text=letter).values("text")[:runs]),
            newest_run=Subquery(newest.values("pk")[:1]),
        )

    def failing(self) -> PolicyStoreQuerySet:
        """Whose newest finished run failed, or whose last slot started no run."""
        newest = self._runs().finished().order_by("-finished_at")
        failed = self.alias(newest_status=Subquery(newest.values("status")[:1]))
        return failed.filter(Q(newest_status="failed") | ~Q(schedule_error=""))

    def _runs(self) -> TrainingRunQuerySet:
        """The runs of the policy in the outer query."""
        runs = self.model._meta.get_field("runs").related_model
        return TrainingRunQuerySet(runs).filter(policy=OuterRef("pk"))


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def active(self) -> TrainingRunQuerySet:
        """Queued or running."""
        return self.filter(status__in=["queued", "running"])

    def progress(self) -> TrainingRunQuerySet:
        """The active runs, with how far they are."""
        return self.active().only("policy_id", "run_id", "status", "episodes", "episodes_done", "started_at")

    def watched(self) -> TrainingRunQuerySet:
        """The active runs, the longest under way first, with how far they are and the sizes that steps follow from."""
        sizes = {"num_envs": F("config__ppo__num_envs"), "rollout_length": F("config__ppo__rollout_length")}
        sizes["episode_length"] = F("config__environment__episode_length")
        runs = (
            self.active().select_related("policy").defer(*LARGE_RUN_COLUMNS, *typed_columns("policy")).annotate(**sizes)
        )
        return runs.order_by(F("started_at").asc(nulls_last=True), "pk")

    def finished(self) -> TrainingRunQuerySet:
        """Succeeded or failed: what the summary counts. A cancelled run says nothing of how training goes."""
        return self.filter(finished_at__isnull=False, status__in=["succeeded", "failed"])

    def held_by(self, run: TrainingRun) -> TrainingRunQuerySet:
        """The run, as long as it is active and of the status and attempt that `run` was read with.

        For a worker: as long as the attempt that it claimed still owns it.
        """
        return self.active().filter(pk=run.pk, status=run.status, attempt=run.attempt)

    def lost(self, timeout: timedelta) -> TrainingRunQuerySet:
        """Running, but no sign of life for `timeout`, by the clock that wrote the last one: the database's."""
        return self.filter(status="running", heartbeat_at__lt=Now() - timeout)

    def heard_in_future(self) -> TrainingRunQuerySet:
        """Running, and the last sign of life is from before the database's clock was set back."""
        return self.filter(status="running", heartbeat_at__gt=Now())

    def unheard(self, now: datetime, timeout: timedelta) -> TrainingRunQuerySet:
        """Queued, and no worker was told of it for `timeout`: the message may be lost.

        One that was told in the future, by a clock that was set back since, was told nobody knows when.
        """
        told = Coalesce("sent_at", "queued_at")
        return self.filter(status="queued").alias(told=told).exclude(told__range=(now - timeout, now + timeout))

    def recent(self, policy: PolicyStore) -> TrainingRunQuerySet:
        """The finished runs of a policy, newest first, with what a summary shows of them."""
        return self.filter(policy=policy).finished().order_by("-finished_at").only(*SUMMARY_COLUMNS)

    def summary(self, policy: str) -> models.QuerySet[TrainingRun, dict[str, Any]]:
        """The finished runs of the policy of that name, newest first: what a summary shows of them and of the policy.

        Dicts of `SUMMARY_COLUMNS`, and of `POLICY_SUMMARY_COLUMNS` after `policy__`. One statement sees one state of
        the database: the policy's counts are those of these runs.
        """
        runs = self.of_policy(policy).finished()
        columns = (f"policy__{column}" for column in POLICY_SUMMARY_COLUMNS)
        found: models.QuerySet[TrainingRun, dict[str, Any]]
        found = runs.order_by("-finished_at").values(*SUMMARY_COLUMNS, *columns)
        return found

    def charted(self, policy: str) -> models.QuerySet[TrainingRun, dict[str, Any]]:
        """The finished runs of the policy of that name, newest first: what charts are made of, in dicts."""
        runs = self.of_policy(policy).finished().order_by("-finished_at")
        found: models.QuerySet[TrainingRun, dict[str, Any]] = runs.values(*CHART_COLUMNS)
        return found

    def listed(self) -> TrainingRunQuerySet:
        """Newest first, with what a list shows of each."""
        listed = self.order_by("-queued_at", "-pk").select_related("policy")
        return listed.defer(*LARGE_RUN_COLUMNS, *typed_columns("policy"))

    def of_policy(self, policy: str) -> TrainingRunQuerySet:
        """Of the policy of that name."""
        policies = self.model._meta.get_field("policy").related_model._default_manager
        return self.filter(policy=Subquery(policies.filter(name=policy).values("pk")))

    def older_than(self, queued_at: datetime, pk: int) -> TrainingRunQuerySet:
        """Those that come after that run in `listed`. Written so that the index on `queued_at` bounds it."""
        return self.filter(queued_at__lte=queued_at).exclude(queued_at=queued_at, pk__gte=pk)


class TrainingEventQuerySet(models.QuerySet["TrainingEvent"]):
    def unpublished(self, before: datetime) -> TrainingEventQuerySet:
        """Not yet on their stream though written before that moment, oldest first.

        One that is dated well after it was written before, by a clock that was set back since or is another's.
        """
        just_written = (before, before + AHEAD_AT_MOST)
        return self.filter(published_at=None).exclude(timestamp__range=just_written).order_by("id")
