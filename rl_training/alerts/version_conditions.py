"""The conditions about results: pure functions from a policy's last versions, newest first, to a verdict."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

from rl_training.alerts.conditions import Holds, Rule, State, Verdict
from rl_training.alerts.kinds import Kind
from rl_training.alerts.version_facts import EvaluatedVersion

Versions = Sequence[EvaluatedVersion]


def evaluate_versions(rule: Rule, versions: Versions) -> Verdict:
    """Evaluate a rule of a kind in `VERSION_CONDITIONS`. A policy without versions has no results to judge."""
    return VERSION_CONDITIONS[rule.kind](rule, versions) if versions else State.GONE


def worse_than_flat(rule: Rule, versions: Versions) -> Verdict:
    return _worse(rule, versions[0], versions[0].flat_return, "staying flat")


def worse_than_holding(rule: Rule, versions: Versions) -> Verdict:
    return _worse(rule, versions[0], versions[0].holding_return, "buy and hold")


def _worse(rule: Rule, version: EvaluatedVersion, reference: float | None, name: str) -> Verdict:
    if version.total_return is None or reference is None:
        return State.UNKNOWN
    if version.total_return >= reference - rule.threshold:
        return State.GONE
    found = f"Version {version.number} returned {_percent(version.total_return)} on {_bars(version)}, "
    found += f"{name} {_percent(reference)}."
    return Holds(f"{found} Do not use it; train on more bars, for fewer episodes, or with other features.", version.run)


def never_trades(rule: Rule, versions: Versions) -> Verdict:
    version = versions[0]
    if version.turnover is None:
        return State.UNKNOWN
    if version.turnover > 0:
        return State.GONE
    found = f"Version {version.number} stayed flat on all {_bars(version)}."
    return Holds(f"{found} Compare fee and slippage with the moves of a bar, and train for more episodes.", version.run)


def same_position(rule: Rule, versions: Versions) -> Verdict:
    version = versions[0]
    if version.turnover is None or version.time_in_market is None:
        return State.UNKNOWN
    held = _only_position(version)
    if held is None:
        return State.GONE
    found = (
        f"Version {version.number} held position {held:g} through all {_bars(version)}: it ignores what it observes."
    )
    return Holds(f"{found} Train for more episodes, or with a larger entropy_coefficient.", version.run)


def _only_position(version: EvaluatedVersion) -> float | None:
    """Return the position that the version traded to once and held to the end, or None.

    The turnover of a first trade to position p is |p| / (1 + s k p), as in `rl_training.core.trading.accounting`.
    """
    if version.time_in_market != 1.0:
        return None
    try:
        fee, slippage = float(version.environment["fee"]), float(version.environment["slippage"])
        positions = [float(position) for position in version.environment["positions"]]
    except (KeyError, TypeError, ValueError):
        return None
    for position in positions:
        side = math.copysign(1.0, position)
        turnover = abs(position) / (1 + side * (slippage + fee * (1 + side * slippage)) * position)
        if position and math.isclose(turnover, version.turnover or 0.0, rel_tol=1e-9):
            return position
    return None


def overfits(rule: Rule, versions: Versions) -> Verdict:
    measured = [
        (version.avg_reward, version.total_return)
        for version in versions
        if version.setting == versions[0].setting
        and version.avg_reward is not None
        and version.total_return is not None
    ][: rule.window]
    if len(measured) < rule.window:
        return State.GONE
    rewards, returns = ([row[column] for row in reversed(measured)] for column in (0, 1))
    pairs = math.comb(rule.window, 2)
    rises = sum(later > earlier for earlier, later in combinations(rewards, 2)) / pairs
    falls = sum(later < earlier for earlier, later in combinations(returns, 2)) / pairs
    if rises < rule.threshold or falls < rule.threshold:
        return State.GONE
    found = (
        f"Over the last {rule.window} versions on the same market, the training reward went from {rewards[0]:.4g} to "
    )
    found += f"{rewards[-1]:.4g}, and the return on held-out bars from {_percent(returns[0])} to "
    found += f"{_percent(returns[-1])}."
    return Holds(
        f"{found} Training memorises its bars: train on more bars, or start again with fewer episodes.", versions[0].run
    )


def _percent(share: float) -> str:
    return f"{100 * share:,.2f} %"


def _bars(version: EvaluatedVersion) -> str:
    return "held-out bars" if version.bars is None else f"{version.bars:,} held-out bars"


VERSION_CONDITIONS: dict[str, Callable[[Rule, Versions], Verdict]] = {
    Kind.WORSE_THAN_FLAT.value: worse_than_flat,
    Kind.WORSE_THAN_HOLDING.value: worse_than_holding,
    Kind.NEVER_TRADES.value: never_trades,
    Kind.SAME_POSITION.value: same_position,
    Kind.OVERFITS.value: overfits,
}
