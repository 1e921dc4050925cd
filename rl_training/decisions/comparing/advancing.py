"""Advancing the running comparisons of a market to its new bars, from stored decisions only.

The state of a comparison and the rows of its compared bars are written in one transaction. So a process that is killed
leaves bars that are not compared, which the next round compares, and no bar counts twice.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import structlog
from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery

from rl_training.core.evaluation.betting import Bet
from rl_training.decisions.comparing import verdicts
from rl_training.models import Arm, ArmComparison, ComparedBar, Decision, FollowedMarket

log = structlog.get_logger(__name__)

# Bars that one transaction compares at most, after a long pause.
BARS_TOGETHER = 1_000


@dataclass(frozen=True)
class Pair:
    """The equities of both arms at the close of a bar."""

    opened_at: datetime
    closed_at: datetime
    a: float
    b: float


def advance(market: FollowedMarket, now: datetime) -> int:
    """Advance every running comparison of arms of the market; return the number of compared bars."""
    compared = 0
    running = ArmComparison.objects.running().filter(a__market=market).order_by("pk")
    for pk in running.values_list("pk", flat=True):
        while some := _advance_one(pk, now):
            compared += some
    return compared


def _advance_one(pk: int, now: datetime) -> int:
    """Compare the next bars, at most BARS_TOGETHER, and return their number."""
    with transaction.atomic():
        # The lock makes two processes compare one after the other: the second finds the state of the first.
        comparison = ArmComparison.objects.shown().select_for_update(of=("self",)).get(pk=pk)
        if comparison.status != ArmComparison.Status.RUNNING:
            return 0
        rows = []
        for pair in pairs_after(comparison, comparison.last_bar_at):
            row = step(comparison, pair)
            if row is not None:
                rows.append(row)
            if has_verdict(comparison):
                verdicts.end(comparison, now)
                break
        if not rows and comparison.last_bar_at is None:
            return 0
        ComparedBar.objects.bulk_create(rows)
        comparison.save()
    return len(rows)


def pairs_after(comparison: ArmComparison, last: datetime | None) -> Iterator[Pair]:
    """Yield the next bars that both arms have decided on, in order.

    The first bar is one that closed after the comparison was requested: the comparison begins at its close.
    """
    a, b = (_decisions(arm, comparison, last) for arm in (comparison.a, comparison.b))
    same_bar = b.filter(bar_opened_at=OuterRef("bar_opened_at"))
    # Without the lower bound, every round would read all bars on which B could not decide.
    both = a.filter(bar_opened_at__gte=Subquery(b.values("bar_opened_at")[:1]))
    both = both.annotate(b_equity=Subquery(same_bar.values("equity"))).filter(b_equity__isnull=False)
    for pair in both.values_list("bar_opened_at", "bar_closed_at", "equity", "b_equity")[:BARS_TOGETHER]:
        yield Pair(*pair)


def _decisions(arm: Arm, comparison: ArmComparison, last: datetime | None) -> QuerySet[Decision]:
    """Return the arm's decisions that are to be compared next, in order."""
    own = Decision.objects.filter(policy=arm.policy_id, arm=arm).order_by("bar_opened_at")
    if last is not None:
        return own.filter(bar_opened_at__gt=last)
    later = own.filter(bar_opened_at__gt=comparison.requested_at - 2 * arm.market.bar_length)
    return later.filter(bar_closed_at__gte=comparison.requested_at)


def step(comparison: ArmComparison, pair: Pair) -> ComparedBar | None:
    """Advance the comparison to a bar; return the bar's row, or None for the first bar, at whose close it begins."""
    before = comparison.a_equity, comparison.b_equity
    comparison.last_bar_at, comparison.a_equity, comparison.b_equity = pair.opened_at, pair.a, pair.b
    if before[0] is None or before[1] is None:
        comparison.first_bar_at = pair.opened_at
        return None
    difference = math.log(pair.b / before[1]) - math.log(pair.a / before[0])
    bet = Bet(np.array(comparison.wealth), comparison.bars, comparison.capped)
    bet = bet.after(difference, comparison.floor, comparison.largest_loss)
    comparison.wealth, comparison.evidence = bet.wealth.tolist(), bet.evidence
    comparison.bars, comparison.capped = bet.bars, bet.capped
    return ComparedBar(
        comparison=comparison,
        opened_at=pair.opened_at,
        closed_at=pair.closed_at,
        difference=difference,
        evidence=bet.evidence,
    )


def has_verdict(comparison: ArmComparison) -> bool:
    """Return whether the comparison has a verdict: B is better, or B lost too much in one bar."""
    return comparison.evidence == 0.0 or comparison.evidence >= comparison.threshold


def recompute(comparison: ArmComparison) -> str:
    """Recompute the comparison from stored decisions; return the first difference, or an empty text."""
    again = ArmComparison(
        policy=comparison.policy,
        a=comparison.a,
        b=comparison.b,
        trial=comparison.trial,
        largest_loss=comparison.largest_loss,
        floor=comparison.floor,
        requested_at=comparison.requested_at,
        wealth=[1.0] * len(comparison.wealth),
    )
    stored = {row.opened_at: row for row in comparison.compared_bars.all()}
    while again.last_bar_at != comparison.last_bar_at:
        pairs = list(pairs_after(again, again.last_bar_at))
        if not pairs:
            return "decisions of compared bars are missing"
        for pair in pairs:
            row = step(again, pair)
            found = stored.pop(pair.opened_at, None)
            if row is not None and (
                found is None or (found.difference, found.evidence) != (row.difference, row.evidence)
            ):
                again_as = f"recomputed {row.difference}, {row.evidence}"
                return f"{pair.opened_at:%Y-%m-%d %H:%M:%S}: the stored bar is {found}, {again_as}"
            if pair.opened_at == comparison.last_bar_at:
                break
    names = ("wealth", "evidence", "bars", "capped", "a_equity", "b_equity", "first_bar_at")
    differing = [name for name in names if getattr(again, name) != getattr(comparison, name)]
    if stored:
        differing.append("compared bars")
    return f"{', '.join(differing)} differ" if differing else ""
