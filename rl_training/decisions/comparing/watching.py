"""The guards of live versions: a change detector against flat, the drawdown, stale bars, and broken probabilities.

A guard acts at once: the policy falls back to flat or to the version before. Guards use stored decisions only. Their
state is stored in the same transaction as their actions, so that no bar counts twice.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import numpy as np
import structlog
from django.db import transaction

from rl_training.core.evaluation.betting import STAKES, detect
from rl_training.core.words import count_of
from rl_training.decisions.deciding import valid_for
from rl_training.models import Arm, Decision, Deployment, Fallback, FollowedMarket, PolicyStore, Watch
from rl_training.versions import deployments
from rl_training.versions.changes import Action, Actor, Author, Change, ChangeRefusedError, rollback_target
from rl_training.versions.live import live_of

log = structlog.get_logger(__name__)

# Arms that one transaction watches: as many as decide together.
TOGETHER = 300
# The upper bound of M, larger than any limit: where no guard may act, M would otherwise grow to infinity.
LARGEST = 1e12
# A market may pause PATIENCE times as long as the longest of its last pauses, because holidays make weekends longer.
PATIENCE, PAUSES_SEEN = 2, 500
NOT_FINITE = "a probability of the live version is not finite"
GUARD = Author(Actor.GUARD)
# The columns of a decision and of its deployment that the guards need.
SEEN = ("policy", "arm", "bar_opened_at", "version", "probabilities", "equity", "deployment__actor")
STATE = ("last_bar_at", "equity", "was_live", "deployment", "peak", "detector", "evidence", "bars")
# A watch begins anew when one of these actors changes what is live. It continues over the versions that the gate
# promotes.
USERS = {Deployment.Actor.USER, Deployment.Actor.COMMAND}


def watch(market: FollowedMarket) -> int:
    """Advance the guards of all live arms of the market to the new decisions; return how many guards acted."""
    live = Arm.objects.open().filter(market=market, kind=Arm.Kind.LIVE)
    arms = list(live.order_by("pk").values_list("pk", flat=True))
    acted = 0
    for first in range(0, len(arms), TOGETHER):
        with transaction.atomic():
            # The lock makes two processes watch one after the other: the second finds the state of the first.
            locked = FollowedMarket.objects.select_for_update(no_key=True).get(pk=market.pk)
            acted += _watch_together(locked, arms[first : first + TOGETHER])
    return acted


def _watch_together(market: FollowedMarket, arms: Sequence[int]) -> int:
    watched = Watch.objects.filter(arm__in=arms).select_related("arm__policy", "arm__market")
    unread = (f"arm__policy__{name}" for name in ("market", "environment", "ppo"))
    known = {one.arm_id: one for one in watched.defer(*unread)}
    acted = _begin([arm for arm in arms if arm not in known])
    decisions = defaultdict(list)
    for decision in _after(market, known):
        decisions[decision.arm_id].append(decision)
    for arm, made in decisions.items():
        one = known[arm]
        for decision in made:
            reason = step(one, decision)
            if reason and act(one.arm.policy, reason, decision.version_id):
                acted += 1
                _reset(one)
    # Measured: 300 rows take 0.04 s, but 1.5 s with bulk_update().
    changed = [known[arm] for arm in decisions]
    Watch.objects.bulk_create(changed, update_conflicts=True, unique_fields=["arm"], update_fields=STATE)
    return acted


def _begin(arms: Sequence[int]) -> int:
    """Begin to watch these arms from their newest decisions on; return how many guards acted."""
    newest = Decision.objects.newest_of(arms)
    Watch.objects.bulk_create(
        Watch(
            arm_id=decision.arm_id,
            last_bar_at=decision.bar_opened_at,
            equity=decision.equity,
            was_live=decision.version_id is not None,
            deployment_id=decision.deployment_id,
            peak=decision.equity,
            detector=[0.0] * len(STAKES),
        )
        for decision in newest.values()
    )
    broken = filter(is_broken, newest.values())
    return sum(act(one.policy, NOT_FINITE, one.version_id) for one in broken)


def _after(market: FollowedMarket, known: dict[int, Watch]) -> Iterator[Decision]:
    """Yield the decisions that are not watched yet, for each arm in the order of the bars.

    An arm nearly always has only one such decision, its newest. A join over all arms would read the whole table.
    """
    related = Decision.objects.select_related("deployment").only(*SEEN)
    # The number of bars that came between two times. Most arms share the two times.
    bars: dict[tuple[datetime, datetime], int] = {}
    for arm, newest in related.newest_of(known).items():
        last = known[arm].last_bar_at
        span = last, newest.bar_opened_at
        if span[1] <= last:
            continue
        if span not in bars:
            bars[span] = market.bars.filter(revision=0, opened_at__gt=last, opened_at__lte=span[1]).count()
        if bars[span] == 1:
            yield newest
        else:
            own = related.filter(policy=newest.policy_id, arm=arm, bar_opened_at__gt=last)
            yield from own.order_by("bar_opened_at")


def step(one: Watch, made: Decision) -> str:
    """Advance the watch to a decision; return why a guard acts, or an empty text."""
    change = math.log(made.equity) - math.log(one.equity)
    was_live = one.was_live
    by_user = made.deployment is not None and made.deployment.actor in USERS
    is_new = made.deployment_id != one.deployment_id and by_user
    one.deployment_id = made.deployment_id
    one.last_bar_at, one.equity, one.was_live = made.bar_opened_at, made.equity, made.version_id is not None
    if not was_live or is_new:
        _reset(one)
    else:
        # A flat account earns nothing, so its gain on the live version is the live version's loss.
        state = np.minimum(detect(np.array(one.detector), -change), LARGEST)
        one.detector, one.evidence, one.bars = state.tolist(), float(state.mean()), one.bars + 1
        one.peak = max(one.peak, made.equity)
    if is_broken(made):
        return NOT_FINITE
    if one.evidence >= one.limit:
        return (
            f"the account of the live version falls behind flat: after {count_of(one.bars, 'bar')} "
            f"M = {one.evidence:,.0f} reached {one.limit:,.0f}"
        )
    percent = one.arm.policy.drawdown_limit
    if 100 * one.drawdown > percent:
        return f"the drawdown of the live version, {one.drawdown:.1%}, is beyond {percent} %"
    return ""


def is_broken(decision: Decision) -> bool:
    """Return whether a version decided and its probabilities are not finite."""
    return decision.version_id is not None and decision.probabilities is None


def _reset(one: Watch) -> None:
    one.peak, one.detector, one.evidence, one.bars = one.equity, [0.0] * len(STAKES), 0.0, 0


class Pauses:
    """The longest pause of each market, read once for each newest bar, because a late market is checked repeatedly."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[datetime | None, timedelta]] = {}

    def longest(self, market: FollowedMarket) -> timedelta:
        """Return the longest time between two of the last PAUSES_SEEN bars."""
        newest_at, longest = self._known.get(market.pk, (None, timedelta(0)))
        if newest_at != market.newest_at:
            bars = market.bars.filter(revision=0).order_by("-opened_at").values_list("opened_at", flat=True)
            longest = max((later - earlier for later, earlier in pairwise(bars[:PAUSES_SEEN])), default=timedelta(0))
            self._known[market.pk] = market.newest_at, longest
        return longest


def watch_age(market: FollowedMarket, now: datetime, pauses: Pauses) -> int:
    """Take policies flat whose newest decision is too old; return their number. Called if the source had no new bar.

    `fallback` at `previous` has no effect here, because the version before would see the same old bars. A version that
    has not decided yet stays live. A market may pause as it has paused before, at night or at weekends.
    """
    if market.newest_at is None:
        return 0
    waited = now - market.newest_at - market.bar_length
    if waited <= valid_for(market) or waited <= PATIENCE * pauses.longest(market):
        return 0
    arms = Arm.objects.open().filter(market=market, kind=Arm.Kind.LIVE).exclude(policy__fallback=Fallback.NONE)
    policies = dict(arms.order_by().values_list("policy", "pk"))
    live = {policy: one.version_id for policy, one in live_of(policies).items() if one.version_id is not None}
    newest = Decision.objects.defer("observation").newest_of([policies[policy] for policy in live])
    acted = 0
    for decision in newest.values():
        if decision.version_id != live[decision.policy_id] or now <= decision.valid_until:
            continue
        reason = f"the newest decided bar closed at {decision.bar_closed_at:%Y-%m-%d %H:%M:%S} UTC, too long ago"
        acted += act(decision.policy, reason, decision.version_id, to_flat=True)
    return acted


def act(policy: PolicyStore, reason: str, version: int | None, *, to_flat: bool = False) -> int:
    """Fall back as the policy's `fallback` says, unless a version with an id other than `version` is live by now.

    Returns 1 if this changed what is live, else 0.
    """
    with transaction.atomic():
        policy = deployments.lock(policy)
        current = deployments.newest(policy)
        if current is None or current.version is None or current.version_id != version:
            return 0
        if policy.fallback == Fallback.NONE:
            return 0
        whole = f"{reason[0].upper()}{reason[1:]}."
        back = policy.fallback == Fallback.PREVIOUS and not to_flat
        if back and _roll_back(policy, current, whole):
            return 1
        deployments.deploy(policy, Change(Action.GO_FLAT, whole, seen=current.pk), GUARD)
    log.warning("Guard acted", policy=policy.name, reason=reason)
    return 1


def _roll_back(policy: PolicyStore, current: Deployment, reason: str) -> bool:
    """Make the version before live again. Return False if there is none, or if a guard made the present one live."""
    target = rollback_target(policy, current.version)
    if current.actor == Actor.GUARD or target is None or target.version is None:
        return False
    try:
        with transaction.atomic():
            deployments.deploy(policy, Change(Action.ROLL_BACK, reason, to=target, seen=current.pk), GUARD)
    except ChangeRefusedError as refused:
        log.warning("Guard cannot bring the version before back", policy=policy.name, reason=str(refused))
        return False
    log.warning("Guard acted", policy=policy.name, reason=reason)
    return True
