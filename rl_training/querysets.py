"""Every query that has a meaning has a name here."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Exists, OuterRef, Q, Subquery

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

    def with_outcome(self) -> PolicyStoreQuerySet:
        """Adds `last_status`, `last_finished_at`, `last_error` of the newest finished run, and `active_status`.

        The typed columns are left out, as in `due_or_changed`.
        """
        newest = self._runs().finished().order_by("-finished_at")
        return self.defer("market", "environment", "ppo").annotate(
            last_status=Subquery(newest.values("status")[:1]),
            last_finished_at=Subquery(newest.values("finished_at")[:1]),
            last_error=Subquery(newest.values("error")[:1]),
            active_status=Subquery(self._runs().active().values("status")[:1]),
        )

    def for_summary(self) -> PolicyStoreQuerySet:
        """With the columns of a summary: one whose typed columns are invalid has a summary too."""
        return self.only(*POLICY_SUMMARY_COLUMNS)

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

    def finished(self) -> TrainingRunQuerySet:
        """Succeeded or failed: what the summary counts. A cancelled run never started."""
        return self.filter(finished_at__isnull=False, status__in=["succeeded", "failed"])

    def held_by(self, run: TrainingRun) -> TrainingRunQuerySet:
        """The run, as long as the attempt that `run` was claimed with still owns it."""
        return self.filter(pk=run.pk, status="running", attempt=run.attempt)

    def lost(self, now: datetime, timeout: timedelta) -> TrainingRunQuerySet:
        """Running, but no sign of life for `timeout`."""
        return self.filter(status="running", heartbeat_at__lt=now - timeout)

    def unheard(self, now: datetime, timeout: timedelta) -> TrainingRunQuerySet:
        """Queued, and no worker was told of it for `timeout`: the message may be lost."""
        return self.filter(status="queued").filter(
            Q(sent_at=None, queued_at__lt=now - timeout) | Q(sent_at__lt=now - timeout)
        )

    def recent(self, policy: PolicyStore) -> TrainingRunQuerySet:
        """The finished runs of a policy, newest first, with what a summary shows of them and of the policy.

        One statement sees one state of the database: the policy's counts are those of these runs.
        """
        counts = (f"policy__{column}" for column in POLICY_SUMMARY_COLUMNS)
        runs = self.filter(policy=policy).finished().order_by("-finished_at")
        return runs.select_related("policy").only(*SUMMARY_COLUMNS, *counts)


class TrainingEventQuerySet(models.QuerySet["TrainingEvent"]):
    def unpublished(self, before: datetime) -> TrainingEventQuerySet:
        """Not yet on their stream though written before that moment, oldest first."""
        return self.filter(published_at=None, timestamp__lt=before).order_by("id")
