"""The note of a decision: what happened since the arm's decision before, in words."""

from collections.abc import Iterator, Mapping

from rl_training.core.words import count_of
from rl_training.decisions import bars
from rl_training.models import Arm, Decision, Deployment, FollowedMarket
from rl_training.versions.live import decided


def note(decision: Decision, last: Decision | None, market: FollowedMarket, changes: Mapping[str, int]) -> str:
    """Return what happened since the decision `last` of the same arm; empty if nothing did.

    `changes` are the numbers of earlier bars, by what they did at the source.
    """
    return " ".join(_sentences(decision, last, market, changes))


def _sentences(
    decision: Decision, last: Decision | None, market: FollowedMarket, changes: Mapping[str, int]
) -> Iterator[str]:
    arm = decision.arm
    if last is None:
        yield f"The account opens. {arm.opening}"
    elif missing := bars.missing_between(market, last.bar_opened_at, decision.bar_opened_at):
        yield f"{missing} {'bar is' if missing == 1 else 'bars are'} missing before this one."
    for what, number in changes.items():
        yield f"{count_of(number, 'earlier bar')} {what}."
    late = (decision.decided_at - decision.bar_closed_at).total_seconds()
    if late >= market.spacing:
        yield f"Decided {late:,.0f} s after the close of the bar, by what was live at its close."
    elif round(late) < 0:
        yield f"This machine's clock is {-late:,.0f} s behind the close of the bar."
    if arm.kind == Arm.Kind.LIVE:
        yield from _of_live(decision, last)
    elif arm.kind == Arm.Kind.NEWEST and (last is None or last.version_id != decision.version_id):
        yield f"Version {decision.version.number} decides." if decision.version else "There is no version yet: flat."
    if decision.version_id is not None and decision.probabilities is None:
        yield "A probability is not finite: flat."
    if last is not None and decision.equity <= float(arm.rules["ruin_fraction"]):
        yield "The account is ruined."


def _of_live(decision: Decision, last: Decision | None) -> Iterator[str]:
    if last is None or last.deployment_id != decision.deployment_id:
        yield _live(decision.deployment)
    if decision.enabled != (last is None or last.enabled):
        yield "The policy is enabled again." if decision.enabled else "The policy is disabled: it is not trained."


def _live(deployment: Deployment | None) -> str:
    if deployment is None:
        return "Nothing is live: flat."
    version = deployment.version
    what = f"Version {version.number} is live" if version else "Nothing is live: flat"
    return f"{what}, {decided(deployment)}: {deployment.reason.rstrip('.')}."
