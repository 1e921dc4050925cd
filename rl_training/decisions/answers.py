"""The answer to a request for a decision: the newest decision of a policy, or why none is valid now."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from rl_training.decisions.arms import is_of
from rl_training.decisions.markets import grows
from rl_training.models import Arm, Decision, Deployment, PolicyStore, PolicyVersion
from rl_training.versions.live import live_now, sentence

Clock = Callable[[], datetime]
# The clocks of two machines are expected to differ by less.
CLOCK_DIFFERENCE = timedelta(minutes=1)


# Columns that an answer does not need. Every column of a query makes the endpoint slower.
UNREAD = [
    f"version__{field.name}" for field in PolicyVersion._meta.concrete_fields if field.name not in ("id", "number")
]


class Reason(StrEnum):
    """Why no decision can be returned."""

    NO_LIVE_VERSION = "no-live-version"
    LIVE_VERSION_CHANGED = "live-version-changed"
    STALE_BARS = "stale-bars"
    BARS_REVISED = "bars-revised"
    MARKET_NOT_LIVE = "market-not-live"


class NoDecisionError(Exception):
    """The policy has no decision that may be used now. `bar_closed_at`: the close of the newest decided bar."""

    def __init__(self, reason: Reason, detail: str, bar_closed_at: datetime | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.bar_closed_at = bar_closed_at


@dataclass(frozen=True)
class Answer:
    """The newest decision of a policy's live version, and its age: the time since the close of its bar."""

    decision: Decision
    age: timedelta


def current(policy: PolicyStore, clock: Clock, *, changed_version: bool = False) -> Answer:
    """Return the decision that is in force. Raises `NoDecisionError`.

    The clock is read last: a decision may have become too old while the database did not respond. With
    `changed_version` a decision of a version other than the live version is returned too: the caller needs its bar.
    """
    if not grows(policy.market):
        raise NoDecisionError(
            Reason.MARKET_NOT_LIVE,
            f"The market {getattr(policy.market, 'label', 'of this policy')} does not grow: only exchanges and files "
            "that grow have new bars.",
        )
    live = Deployment.objects.filter(policy=policy).order_by("-at").values_list("version_id", flat=True)[:1]
    version = next(iter(live), None)
    if version is None:
        raise NoDecisionError(Reason.NO_LIVE_VERSION, sentence(live_now(policy.pk)))
    arm = Arm.objects.filter(policy=policy, kind=Arm.Kind.LIVE, ended_at__isnull=True).select_related("market").first()
    decision = _newest(arm, policy) if arm is not None and is_of(arm, policy) else None
    if arm is None or decision is None:
        raise _no_decision_yet(policy, arm)
    revised = decision.bar.is_revised()
    now = clock()
    check_age(decision, now)
    if revised:
        raise NoDecisionError(
            Reason.BARS_REVISED,
            "The bars of the newest decision have changed at the source since. The next decision is on them as they "
            "are now.",
            decision.bar_closed_at,
        )
    if decision.version_id != version and not changed_version:
        raise _version_changed(decision, live_now(policy.pk))
    return Answer(decision, now - decision.bar_closed_at)


def _newest(arm: Arm, policy: PolicyStore) -> Decision | None:
    decisions = Decision.objects.filter(policy=policy, arm=arm).order_by("-bar_opened_at")
    related = decisions.select_related("version", "bar").defer(*UNREAD)
    for decision in related[:1]:
        decision.policy, decision.arm = policy, arm
        return decision
    return None


def _no_decision_yet(policy: PolicyStore, arm: Arm | None) -> NoDecisionError:
    market = arm.market if arm is not None and is_of(arm, policy) else None
    if market is not None and market.config.get("source") == "file" and market.grew_at is None and not market.error:
        return NoDecisionError(
            Reason.MARKET_NOT_LIVE,
            f"The file {market} has not grown since the policy follows it: a decision needs a new bar.",
        )
    error = (market.error if market else "") or (arm.error if arm else "")
    return NoDecisionError(Reason.STALE_BARS, f"No bar is decided yet. {error}".strip())


def check_age(decision: Decision, now: datetime) -> None:
    """Raise `NoDecisionError` if the decision may not be used any more, or if its age is unknown."""
    closed_at = decision.bar_closed_at
    ahead = max(closed_at, decision.decided_at) - now
    if ahead > CLOCK_DIFFERENCE:
        seconds = f"{ahead.total_seconds():,.0f} s"
        detail = f"The newest decision is {seconds} ahead of this machine's clock: its age is unknown."
        raise NoDecisionError(Reason.STALE_BARS, detail, closed_at)
    if now > decision.valid_until:
        age = (now - closed_at).total_seconds()
        found = f"The newest decided bar closed {age:,.0f} s ago, at {closed_at:%Y-%m-%d %H:%M:%S} UTC."
        why = decision.arm.market.error or decision.arm.error
        raise NoDecisionError(Reason.STALE_BARS, f"{found} {why}".strip(), closed_at)


def _version_changed(decision: Decision, live: Deployment | None) -> NoDecisionError:
    by = f"version {decision.version.number}" if decision.version else "staying flat"
    return NoDecisionError(
        Reason.LIVE_VERSION_CHANGED,
        f"{sentence(live)} The newest decision is still by {by}; the live version decides at the close of the next "
        "bar, and for a caller's account at once.",
        decision.bar_closed_at,
    )
