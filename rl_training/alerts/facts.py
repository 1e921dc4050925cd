"""The facts that conditions are evaluated on, read with few queries, each of which uses an index."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Left

from rl_training.models import (
    Arm,
    ArmComparison,
    PolicyStore,
    PolicyVersion,
    Promotion,
    SlotRange,
    SlotReason,
    TrainingEvent,
    TrainingRun,
    Validation,
)

# Policies whose runs one query reads. SQLite accepts at most 500 parts in a compound SELECT.
POLICIES_PER_QUERY = 100
ERROR_LENGTH = 300
# The counts of repairs, drops and suspicions in a run's market summary.
COUNTED = ("repairs", "drops", "suspicions")
# Stands for the id of a policy in a query that is repeated for each policy.
NO_POLICY = -1


@dataclass(frozen=True)
class FinishedRun:
    """The columns of a finished run that conditions use."""

    pk: int
    run_id: str
    succeeded: bool
    episodes: int
    duration_seconds: float | None
    avg_reward: float | None
    error: str
    market: str | None = None
    reading: str | None = None

    @property
    def data_kinds(self) -> frozenset[str]:
        """The kinds of repairs, drops and suspicions of the run's bars."""
        reading = json.loads(self.reading) if self.reading else {}
        return frozenset(kind for part in COUNTED for kind in reading.get(part, ()))


@dataclass(frozen=True)
class MarketFacts:
    """The facts about the market that a policy decides on; `error` is the market's or the arm's error."""

    label: str
    newest_at: datetime | None
    spacing: int
    revised_at: datetime | None
    error: str


@dataclass(frozen=True)
class PolicyFacts:
    """The columns of a policy that conditions use.

    total_runs      number of finished runs: while this number stays the same, verdicts about runs stay the same
    last_skipped    the last slot, if it was skipped for lack of new bars
    newest_version  number of the newest version
    held_back       why the gate holds the newest version back; empty where it does not, or where no gate decides
    validation      the newest walk-forward
    judged          the newest walk-forward with a verdict
    compared        the newest comparison on new bars with a verdict
    """

    validation: Validation | None
    judged: Validation | None
    compared: ArmComparison | None
    pk: int
    name: str
    enabled: bool
    interval: timedelta
    updated_at: datetime
    total_runs: int
    last_finished_at: datetime | None
    last_skipped: datetime | None
    first_version_at: datetime | None
    newest_version: int | None
    held_back: str | None


def policies() -> dict[int, PolicyFacts]:
    """Return all policies by their ids."""
    newest = TrainingRun.objects.filter(policy=OuterRef("pk")).finished().order_by("-finished_at")
    lacking = When(reason=SlotReason.TOO_FEW_NEW_BARS, then=F("last_slot"))
    ranges = SlotRange.objects.filter(policy=OuterRef("pk")).order_by("-pk").values(skipped=Case(lacking))
    versions = PolicyVersion.objects.filter(policy=OuterRef("pk"))
    first, last = versions.order_by("number"), versions.order_by("-number")
    gated = When(promotion=Promotion.VALIDATED, then=Subquery(last.values("held_back")[:1]))
    rows = PolicyStore.objects.annotate(
        last_finished_at=Subquery(newest.values("finished_at")[:1]),
        last_skipped=Case(When(min_new_bars__gt=0, then=Subquery(ranges[:1]))),
        first_version_at=Subquery(first.values("created_at")[:1]),
        newest_version=Subquery(last.values("number")[:1]),
        held_back=Case(gated),
    ).values_list(
        *("pk", "name", "enabled", "interval_minutes", "updated_at", "total_runs", "last_finished_at", "last_skipped"),
        *("first_version_at", "newest_version", "held_back"),
    )
    validations, judged = (
        _newest_walk_forwards(Validation.objects.all()),
        _newest_walk_forwards(Validation.objects.judged()),
    )
    compared = _newest_verdicts()
    return {
        pk: PolicyFacts(
            validations.get(pk), judged.get(pk), compared.get(pk), pk, name, enabled, timedelta(minutes=minutes), *rest
        )
        for pk, name, enabled, minutes, *rest in rows
    }


def _newest_walk_forwards(selected: QuerySet[Validation]) -> dict[int, Validation]:
    """Return the newest of the selected validations of each policy, by the policy's id."""
    newest = selected.filter(policy=OuterRef("pk")).order_by("-requested_at", "-pk").values("pk")[:1]
    wanted = PolicyStore.objects.order_by().values(newest=Subquery(newest))
    found = Validation.objects.filter(pk__in=wanted).defer("config", "result", "judgement").order_by()
    return {validation.policy_id: validation for validation in found}


def _newest_verdicts() -> dict[int, ArmComparison]:
    """Return the newest comparison on new bars with a verdict of each policy, by the policy's id."""
    decided = ArmComparison.objects.filter(status__in=[ArmComparison.Status.BETTER, ArmComparison.Status.LOST])
    newest = decided.filter(policy=OuterRef("pk")).order_by("-ended_at", "-pk").values("pk")[:1]
    wanted = PolicyStore.objects.order_by().values(newest=Subquery(newest))
    return {one.policy_id: one for one in ArmComparison.objects.filter(pk__in=wanted).defer("wealth").order_by()}


def last_runs(policies: Sequence[int], number: int) -> Iterator[tuple[int, list[FinishedRun]]]:
    """Yield each policy's id with its last `number` finished runs, newest first."""
    runs = TrainingRun.objects.filter(policy_id=NO_POLICY).finished().order_by("-finished_at")
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
        KeyTextTransform("name", "market_summary"),
        KeyTextTransform("reading", "market_summary"),
    )
    for policy, rows in newest_of_each(columns[:number], policies):
        yield policy, [_finished(*row) for row in rows]


def newest_of_each(selected: QuerySet[Any, Any], policies: Sequence[int]) -> Iterator[tuple[int, list[Any]]]:
    """Yield each policy's id with its rows, the newest first.

    `selected` is the query for the policy NO_POLICY, with its LIMIT. Its first column is the policy's id, and its
    second one grows from older to newer rows.

    One query reads a hundred policies. It has one SELECT with its own LIMIT for each policy, because a window function
    that ranks the rows would read all of them.
    """
    sql, parameters = selected.query.sql_with_params()
    place = parameters.index(NO_POLICY)
    before, after = parameters[:place], parameters[place + 1 :]
    for first in range(0, len(policies), POLICIES_PER_QUERY):
        rows: dict[int, list[Any]] = {pk: [] for pk in policies[first : first + POLICIES_PER_QUERY]}
        # Every part is a statement that Django compiled, with placeholders for its parameters.
        parts = " UNION ALL ".join(f"SELECT * FROM ({sql}) AS of_{index}" for index in range(len(rows)))  # noqa: S608
        with connection.cursor() as cursor:
            cursor.execute(parts, [value for pk in rows for value in (*before, pk, *after)])
            for policy, *row in cursor.fetchall():
                rows[policy].append(row)
        for policy, of_policy in rows.items():
            of_policy.sort(reverse=True, key=lambda row: row[:2])
            yield policy, of_policy


def _finished(finished_at: Any, pk: int, run_id: str, status: str, *columns: Any) -> FinishedRun:
    return FinishedRun(pk, run_id, status == TrainingRun.Status.SUCCEEDED, *columns)


def outbox_lag(now: datetime) -> float:
    """Return the age in seconds of the oldest event that is not on its stream yet; 0 when there is none."""
    oldest = TrainingEvent.objects.filter(published_at=None).order_by("id").values_list("timestamp", flat=True).first()
    return (now - oldest).total_seconds() if oldest else 0.0


def markets() -> dict[int, MarketFacts]:
    """Return the market of each policy whose live version has an open account, by the policy's id, in one query."""
    arms = Arm.objects.filter(kind=Arm.Kind.LIVE, ended_at__isnull=True).order_by()
    columns = ("label", "newest_at", "spacing", "revised_at", "error")
    found = arms.values_list("policy", "error", *(f"market__{name}" for name in columns))
    return {
        policy: MarketFacts(label, newest_at, spacing, revised_at, failure or error)
        for policy, error, label, newest_at, spacing, revised_at, failure in found
    }
