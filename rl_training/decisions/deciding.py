"""Deciding: each arm of a market decides once on each new bar, in the order of the bars.

The decisions of one group of arms on all their new bars are one transaction, with their events. So a process that is
killed leaves bars without decisions, which the next round decides, and never a part of a decision.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import structlog
from django.conf import settings
from django.db import transaction

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.decision import NEW_ACCOUNT, AccountState, next_state
from rl_training.core.market.bars import MarketDataError
from rl_training.decisions import bars, notes
from rl_training.decisions.choosing import Chosen, Seen, choose
from rl_training.decisions.networks import NetworkError
from rl_training.decisions.payloads import payload
from rl_training.models import Arm, Decision, Deployment, FollowedMarket, MarketBar, PolicyVersion
from rl_training.streams import outbox
from rl_training.versions.live import live_at, live_of

log = structlog.get_logger(__name__)

# Arms that decide in one transaction: few enough that other processes never wait long for the database.
TOGETHER = 300
# Bars that one transaction decides at most, after a long pause.
BARS_TOGETHER = 200
# The columns of an arm's last decision that its next decision needs. Reading all columns took a tenth of a round.
CARRIED_ON = (
    *("policy", "arm", "bar", "bar_opened_at", "version", "deployment", "enabled", "target_position"),
    *("previous_target", "equity", "cash", "units", "entry_equity", "peak"),
)


class Step(NamedTuple):
    """The result of one transaction: number of decisions, ids of arms that cannot decide, and whether bars remain."""

    made: int
    waiting: set[int]
    more: bool


def valid_for(market: FollowedMarket) -> timedelta:
    """Return how long after the close of its bar a decision may be used."""
    return market.bar_length * float(settings.MAX_BAR_AGE)


def decide(market: FollowedMarket, now: datetime) -> int:
    """Decide for the open arms of a market on all bars that they have not decided on; return how many decisions."""
    if market.newest_at is None:
        return 0
    arms = list(_open_arms(market))
    made = 0
    for first in range(0, len(arms), TOGETHER):
        together, more = arms[first : first + TOGETHER], True
        while more:
            some, waiting, more = _decide_together(market, together, now)
            made += some
            # An arm that cannot decide on a bar must not stop the other arms.
            together = [arm for arm in together if arm.pk not in waiting]
    if made:
        log.info("Decided", market=market.label, bar=market.newest_at.isoformat(), decisions=made)
    return made


def _open_arms(market: FollowedMarket) -> Any:
    arms = Arm.objects.open().filter(market=market).select_related("policy", "version").order_by("policy", "pk")
    return arms.defer("version__evaluation")


def _decide_together(market: FollowedMarket, arms: Sequence[Arm], now: datetime) -> Step:
    with transaction.atomic():
        # The lock makes two processes decide one after the other: the second finds the decisions of the first.
        locked = FollowedMarket.objects.select_for_update(no_key=True).get(pk=market.pk)
        newest = Decision.objects.only(*CARRIED_ON).newest_of([arm.pk for arm in arms])
        came = _bars_to_decide_on(locked, newest)
        due = [bar for bar in came if any(_is_due(locked, arm, newest.get(arm.pk), bar, now) for arm in arms)]
        if not due:
            return Step(0, set(), more=False)
        live = live_of({arm.policy_id for arm in arms})
        seen = Seen(locked, bars.rows_up_to(locked.pk, due[-1].opened_at, len(due)))
        made: list[Decision] = []
        errors: dict[int, str] = {}
        for arm in arms:
            one = _Account(locked, arm, newest.get(arm.pk), live.get(arm.policy_id), seen, now)
            try:
                made += one.decide(due)
            except (NetworkError, MarketDataError) as error:
                made += one.made
                errors[arm.pk] = str(error)
        Decision.objects.bulk_create(made, batch_size=500)
        _note_errors(arms, errors)
        announced = [decision for decision in made if decision.arm.kind == Arm.Kind.LIVE]
        outbox.write_decisions(announced, [payload(decision) for decision in announced])
    return Step(len(made), set(errors), more=len(came) > BARS_TOGETHER)


def _bars_to_decide_on(market: FollowedMarket, newest: dict[int, Decision]) -> list[MarketBar]:
    """Return the bar of the earliest of the last decisions, and at most BARS_TOGETHER bars after it, in order."""
    first = min(last.bar_opened_at for last in newest.values()) if newest else market.newest_at
    return list(market.bars.filter(revision=0, opened_at__gte=first).order_by("opened_at")[: BARS_TOGETHER + 1])


def _is_due(market: FollowedMarket, arm: Arm, last: Decision | None, bar: MarketBar, now: datetime) -> bool:
    """Return whether the arm decides on the bar.

    The first decision is on a bar that came after the arm was opened, or on the newest bar if a decision would be
    valid.
    """
    if last is not None:
        return bar.opened_at > last.bar_opened_at
    fresh = now <= bars.closes(market, bar.opened_at) + valid_for(market)
    return bar.seen_at > arm.opened_at or (bar.opened_at == market.newest_at and fresh)


def _note_errors(arms: Sequence[Arm], errors: dict[int, str]) -> None:
    for arm in arms:
        error = errors.get(arm.pk, "")
        if error != arm.error:
            Arm.objects.filter(pk=arm.pk).update(error=error)
            arm.error = error
            if error:
                log.error("Cannot decide", policy=arm.policy.name, arm=arm.kind, error=error)


class _Account:
    """An arm's paper account, from its last decision on."""

    def __init__(
        self,
        market: FollowedMarket,
        arm: Arm,
        last: Decision | None,
        live: Deployment | None,
        seen: Seen,
        now: datetime,
    ) -> None:
        self.market, self.arm, self.last, self.live, self.seen, self.now = market, arm, last, live, seen, now
        self.costs = EnvironmentConfig.model_validate(arm.rules)
        self.made: list[Decision] = []

    def decide(self, due: Sequence[MarketBar]) -> list[Decision]:
        """Return unsaved decisions on those of the bars that the arm has to decide on.

        Raises `NetworkError` and `MarketDataError`; the decisions made before the error are in `made`.
        """
        for bar in due:
            if _is_due(self.market, self.arm, self.last, bar, self.now):
                self.last = self._decision(bar)
                self.made.append(self.last)
        return self.made

    def _decision(self, bar: MarketBar) -> Decision:
        closed_at = bars.closes(self.market, bar.opened_at)
        state = self._state(bar)
        deployment = self._deployment(closed_at)
        version = deployment.version if deployment else self._challenger(closed_at)
        chosen = choose(self.arm, version, self.seen.by(bar), state, self.costs)
        decision = Decision(
            policy=self.arm.policy,
            arm=self.arm,
            bar=bar,
            bar_opened_at=bar.opened_at,
            bar_closed_at=closed_at,
            decided_at=self.now,
            valid_until=closed_at + valid_for(self.market),
            deployment=deployment,
            enabled=self.arm.policy.enabled,
            equity=state.equity,
            cash=state.cash,
            units=state.units,
            entry_equity=state.entry_equity,
            peak=state.peak,
            previous_target=state.target,
            **_columns(chosen),
        )
        decision.note = notes.note(decision, self.last, self.market, self.seen.changes_before(bar, self.last))
        return decision

    def _state(self, bar: MarketBar) -> AccountState:
        """Return the account at the close of the bar, after trading to the last decision's target at the open."""
        if self.last is None:
            return NEW_ACCOUNT
        traded, _ = self.seen.by(bar).last(1)
        return next_state(state_of(self.last), self.last.target_position, traded, self.costs)

    def _deployment(self, closed_at: datetime) -> Deployment | None:
        """Return the deployment that decides: the present one, or for a late bar the one in force at the bar's close.

        A bar is late once the next bar has closed. So a change of what is live has an effect at once, and a version
        never decides on a bar of its training.
        """
        if self.arm.kind != Arm.Kind.LIVE:
            return None
        return self.live if self._is_on_time(closed_at) else live_at(self.arm.policy_id, closed_at)

    def _challenger(self, closed_at: datetime) -> PolicyVersion | None:
        """Return the version with which a challenger decides: a chosen version, or the newest one of a recipe.

        The weights of this version are kept for good, because the account is replayed. Raises `NetworkError`.
        """
        if self.arm.kind != Arm.Kind.NEWEST:
            return self.arm.version
        made = PolicyVersion.objects.with_weights().of_recipe(self.arm.recipe_policy_id, self.arm.recipe)
        version = made.filter(created_at__lte=self.now if self._is_on_time(closed_at) else closed_at).first()
        if version is not None and not version.keep():
            raise NetworkError(f"the weights of version {version.number} were removed")
        return version

    def _is_on_time(self, closed_at: datetime) -> bool:
        """Return whether the next bar has not closed yet."""
        return self.now < closed_at + self.market.bar_length


def state_of(decision: Decision) -> AccountState:
    """Return the account at the close of a decision's bar."""
    return AccountState(
        cash=decision.cash,
        units=decision.units,
        target=decision.previous_target,
        equity=decision.equity,
        entry_equity=decision.entry_equity,
        peak=decision.peak,
    )


def _columns(chosen: Chosen) -> dict[str, Any]:
    version, network, choice = chosen.version, chosen.network, chosen.choice
    found: dict[str, Any] = {"target_position": chosen.target, "bars_digest": chosen.bars_digest, "version": version}
    if network is None or choice is None:
        return found | {"observation": b""}
    until = network.trained_until
    return found | {
        "weights_sha256": network.digest,
        "trained_until": None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC),
        "probabilities": chosen.probabilities,
        "value": chosen.value,
        "observation": chosen.observation,
        "observation_sha256": chosen.observation_sha256,
    }
