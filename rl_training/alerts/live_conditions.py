"""The conditions about what is live: pure functions from a policy and its newest deployment to a verdict."""

from collections.abc import Callable
from datetime import datetime

from rl_training.alerts.conditions import Holds, Rule, State, Verdict
from rl_training.alerts.facts import PolicyFacts
from rl_training.alerts.kinds import Kind
from rl_training.models import Deployment
from rl_training.versions.live import sentence

# What the policy's own rule or an upgrade changes needs nobody's attention.
EXPECTED = {Deployment.Actor.GATE, Deployment.Actor.MIGRATION}


def live_changed(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    if live is None or live.actor in EXPECTED or (now - live.at).total_seconds() > 60 * rule.threshold:
        return State.GONE
    return Holds(sentence(live))


def nothing_live(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    since = live.origin.at if live else policy.first_version_at
    if not policy.enabled or since is None or (live is not None and live.version is not None):
        return State.GONE
    hours = (now - since).total_seconds() / 3600
    if hours <= rule.threshold:
        return State.GONE
    found = f"Nothing is live for {hours:,.0f} hours, although the policy has versions."
    return Holds(f"{found} Promote one, or disable this rule where the policy is only trained.")


def live_version_old(rule: Rule, policy: PolicyFacts, live: Deployment | None, now: datetime) -> Verdict:
    if live is None or live.version is None:
        return State.GONE
    days = (now - live.version.created_at).total_seconds() / 86_400
    if days <= rule.threshold:
        return State.GONE
    found = f"Version {live.version.number} is live and {days:,.0f} days old; {rule.threshold:g} days are allowed."
    return Holds(f"{found} Compare it with a newer version, and promote that if it is better.")


LIVE_CONDITIONS: dict[str, Callable[[Rule, PolicyFacts, Deployment | None, datetime], Verdict]] = {
    Kind.LIVE_CHANGED.value: live_changed,
    Kind.NOTHING_LIVE.value: nothing_live,
    Kind.LIVE_VERSION_OLD.value: live_version_old,
}
