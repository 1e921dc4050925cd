"""The conditions about what is live and about validations: pure functions from a policy's facts to a verdict."""

from collections.abc import Callable
from datetime import datetime, timedelta

from rl_training.alerts.conditions import Holds, Rule, State, Verdict
from rl_training.alerts.facts import MarketFacts, PolicyFacts
from rl_training.alerts.kinds import Kind
from rl_training.core.words import count_of
from rl_training.models import Deployment, Validation
from rl_training.versions.live import sentence

# Changes by the policy's own rule or by an upgrade need no user's attention.
EXPECTED = {Deployment.Actor.GATE, Deployment.Actor.MIGRATION}


def live_changed(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    if live is None or live.actor in EXPECTED or (now - live.at).total_seconds() > 60 * rule.threshold:
        return State.GONE
    return Holds(sentence(live), renews=True)


def nothing_live(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    since = live.origin.at if live else policy.first_version_at
    if not policy.enabled or since is None or (live is not None and live.version is not None):
        return State.GONE
    hours = (now - since).total_seconds() / 3600
    if hours <= rule.threshold:
        return State.GONE
    found = f"Nothing is live for {count_of(hours, 'hour')}, although the policy has versions."
    return Holds(f"{found} Promote one, or disable this rule where the policy is only trained.")


def live_version_old(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    if live is None or live.version is None:
        return State.GONE
    days = (now - live.version.created_at).total_seconds() / 86_400
    if days <= rule.threshold:
        return State.GONE
    found = (
        f"Version {live.version.number} is live and {count_of(days, 'day')} old; the rule allows {rule.threshold:g}."
    )
    return Holds(f"{found} Compare it with a newer version, and promote that if it is better.")


def version_held_back(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    is_live = live is not None and live.version is not None and live.version.number == policy.newest_version
    if not policy.held_back or is_live:
        return State.GONE
    found = f"Version {policy.newest_version} is held back: {policy.held_back.rstrip('.')}."
    return Holds(f"{found} Promote it all the same, or change the recipe and walk it forward: see the tab Validation.")


def validation_ended(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    judged = policy.judged
    if judged is None or judged.ended_at is None or (live is not None and live.at > judged.ended_at):
        return State.GONE
    stays, remedy = "Nothing is live", "Change the recipe and walk it forward."
    if live is not None and live.version is not None:
        stays, remedy = f"Version {live.version.number} stays live", f"Go flat, or {remedy[0].lower()}{remedy[1:]}"
    found = f"Validation {judged} ended on {judged.ended_at:%Y-%m-%d}: {judged.ended_because.rstrip('.')}."
    return Holds(f"{found} {stays}, and no new version goes live by itself. {remedy}")


def validation_failed(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    newest = policy.validation
    if newest is None or newest.status != Validation.Status.FAILED:
        return State.GONE
    found = f"Validation {newest} failed: {newest.error or 'no reason is known'}"
    remedy = "Start another one when the cause is gone; it is a further trial."
    if newest.trial_id is None:
        remedy = "The monitored validation still stands. The walk-forward is repeated after a day."
    return Holds(f"{found.rstrip('.')}. {remedy}")


def comparison_ended(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    found = policy.compared
    if found is None or found.ended_at is None or (now - found.ended_at).total_seconds() > 60 * rule.threshold:
        return State.GONE
    return Holds(f"Comparison {found} on new bars: {found.ending} {found.outcome}".strip(), renews=True)


def demoted(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    if live is None or live.actor != Deployment.Actor.GUARD:
        return State.GONE
    return Holds(f"{sentence(live)} Promote a version, or unpin to let automatic promotions resume.")


def decisions_old(rule: Rule, market: MarketFacts | None, live: Deployment | None, now: datetime) -> Verdict:
    if market is None or market.newest_at is None or live is None or live.version is None:
        return State.GONE
    bar = timedelta(seconds=market.spacing)
    closed_at = market.newest_at + bar
    if now <= closed_at + rule.threshold * bar:
        return State.GONE
    why = market.error or "The source has no newer bar, or the process decide is off."
    return Holds(f"The newest bar of {market.label} closed at {closed_at:%Y-%m-%d %H:%M:%S} UTC. {why}")


def bars_revised(rule: Rule, market: MarketFacts | None, live: Deployment | None, now: datetime) -> Verdict:
    at = market.revised_at if market else None
    if market is None or at is None or (now - at).total_seconds() > 60 * rule.threshold:
        return State.GONE
    found = f"Bars of {market.label} changed at the source, seen at {at:%Y-%m-%d %H:%M:%S} UTC."
    return Holds(f"{found} Stored decisions stay; later ones see the changed bars.")


MARKET_CONDITIONS: dict[str, Callable[[Rule, MarketFacts | None, Deployment | None, datetime], Verdict]] = {
    Kind.DECISIONS_OLD.value: decisions_old,
    Kind.BARS_REVISED.value: bars_revised,
}
LIVE_CONDITIONS: dict[str, Callable[[Rule, PolicyFacts, Deployment | None, datetime], Verdict]] = {
    Kind.LIVE_CHANGED.value: live_changed,
    Kind.NOTHING_LIVE.value: nothing_live,
    Kind.LIVE_VERSION_OLD.value: live_version_old,
    Kind.VERSION_HELD_BACK.value: version_held_back,
    Kind.VALIDATION_ENDED.value: validation_ended,
    Kind.VALIDATION_FAILED.value: validation_failed,
    Kind.COMPARISON_ENDED.value: comparison_ended,
    Kind.DEMOTED.value: demoted,
}
