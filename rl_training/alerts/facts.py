"""What the rules are judged by, read with few queries, each on an index."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Left

from rl_training.models import PolicyStore, TrainingEvent, TrainingRun

# Policies whose runs are asked for in one query; SQLite takes 500 parts of a compound one.
POLICIES_AT_ONCE = 100
ERROR_LENGTH = 300


@dataclass(frozen=True)
class Finished:
    """A finished run, as the rules look at it."""

    pk: int
    run_id: str
    succeeded: bool
    episodes: int
    duration_seconds: float | None
    avg_reward: float | None
    error: str


@dataclass(frozen=True)
class PolicyFacts:
    """`total_runs`, the number of finished ones, tells whether there is something new about the runs."""

    pk: int
    name: str
    enabled: bool
    interval: timedelta
    updated_at: datetime
    total_runs: int
    last_finished_at: datetime | None


def policies() -> dict[int, PolicyFacts]:
    """All policies, by their ids."""
    newest = TrainingRun.objects.filter(policy=OuterRef("pk")).finished().order_by("-finished_at")
    rows = PolicyStore.objects.annotate(last_finished_at=Subquery(newest.values("finished_at")[:1])).values_list(
        "pk", "name", "enabled", "interval_minutes", "updated_at", "total_runs", "last_finished_at"
    )
    return {
        pk: PolicyFacts(pk, name, enabled, timedelta(minutes=minutes), *rest)
        for pk, name, enabled, minutes, *rest in rows
    }


def last_runs(policies: Sequence[int], number: int) -> Iterator[tuple[int, list[Finished]]]:
    """Each policy with its last `number` finished runs, newest first; one query for a hundred policies.

    It is one SELECT with its own LIMIT for each policy: ranking them all, as a window function does, reads all runs.
    """
    sql, before, after = _select_last(number)
    for first in range(0, len(policies), POLICIES_AT_ONCE):
        rows: dict[int, list[Any]] = {pk: [] for pk in policies[first : first + POLICIES_AT_ONCE]}
        # The statement is Django's own, put together many times over.
        parts = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{index}" for index in range(len(rows)))  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(parts, [value for pk in rows for value in (*before, pk, *after)])
            for policy, *row in cursor.fetchall():
                rows[policy].append(row)
        for policy, of_policy in rows.items():
            of_policy.sort(reverse=True)
            yield policy, [_finished(*row) for row in of_policy]


def _finished(finished_at: Any, pk: int, run_id: str, status: str, *figures: Any) -> Finished:
    return Finished(pk, run_id, status == TrainingRun.Status.SUCCEEDED, *figures)


def _select_last(number: int) -> tuple[str, list[Any], list[Any]]:
    """The SELECT for one policy, and its parameters before and after the policy's id."""
    no_policy = -1
    runs = TrainingRun.objects.filter(policy_id=no_policy).finished().order_by("-finished_at")
    columns = runs.annotate(shown_error=Left("error", ERROR_LENGTH)).values_list(
        "policy_id",
        "finished_at",
        "pk",
        "run_id",
        "status",
        "episodes",
        "duration_seconds",
        "avg_reward",
        "shown_error",
    )
    sql, parameters = columns[:number].query.sql_with_params()
    place = parameters.index(no_policy)
    return sql, list(parameters[:place]), list(parameters[place + 1 :])


def outbox_lag(now: datetime) -> float:
    """Seconds for which the oldest event has waited to be put on its stream."""
    oldest = TrainingEvent.objects.filter(published_at=None).order_by("id").values_list("timestamp", flat=True).first()
    return (now - oldest).total_seconds() if oldest else 0.0
