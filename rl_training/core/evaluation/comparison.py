"""Comparison of saved policies on bars after the training bars of all of them."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np
from pydantic import ValidationError

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.backtest import Backtest, Policy, run_backtest
from rl_training.core.evaluation.equity_curves import curve_points
from rl_training.core.evaluation.evaluation import Performance, performances, stamps
from rl_training.core.evaluation.paired import Differences, paired_differences
from rl_training.core.evaluation.references import best_targets, rule_targets
from rl_training.core.market.bars import MarketData
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.accounting import FloatArray
from rl_training.core.trading.features import FeatureStatistics, longest_window
from rl_training.core.trading.observation import Observer
from rl_training.core.words import count_of

# The fewest decisions of a comparison: fewer decisions show only huge differences.
FEWEST_BARS = 50
# The settings of the environment that all accounts of a comparison share.
COSTS = ("fee", "slippage", "borrow_rate", "funding_rate", "ruin_fraction")


class ComparisonError(ValueError):
    """Policies cannot be compared. The message says what is missing."""


@dataclass(frozen=True)
class ComparedPolicy:
    """A policy with its training settings. `trained_until` is the last bar of its training."""

    name: str
    policy: Policy
    environment: EnvironmentConfig
    statistics: FeatureStatistics
    trained_until: np.datetime64


@dataclass(frozen=True)
class Comparison:
    """Results of policies and references on the same bars.

    names         names of the policies in their order, then of the references
    performances  results of the accounts, in the order of the names
    differences   of each policy and each later policy, then of each policy and each reference, as indices of `names`
    bars          number of decisions
    span          the closes of the first decision and of the last bar
    digest        SHA-256 of the bars from the first decision on, in hex
    costs         the cost settings of every account, by the name of the setting
    timestamps    times of the points of the equity curves
    """

    names: tuple[str, ...]
    policies: int
    performances: tuple[Performance, ...]
    differences: Differences
    bars: int
    span: tuple[datetime, datetime]
    digest: str
    annualisation: float
    costs: dict[str, float]
    timestamps: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the results as JSON values; curves have at most `CURVE_POINTS` points of seven significant digits."""
        accounts = [
            {"name": name, "reference": number >= self.policies, **_shortened(performance)}
            for number, (name, performance) in enumerate(zip(self.names, self.performances, strict=True))
        ]
        return {
            "bars": self.bars,
            "annualisation": self.annualisation,
            "costs": self.costs,
            "accounts": accounts,
            "differences": [asdict(pair) for pair in self.differences.pairs],
            "block_length": self.differences.block_length,
            "resamples": self.differences.resamples,
            "timestamps": list(self.timestamps),
        }


def compare(
    policies: Sequence[ComparedPolicy],
    market: MarketData,
    source: MarketConfig | None = None,
    *,
    seed: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> Comparison:
    """Compare two or more policies and reference rules on the bars of `market` after all of them were trained.

    Every account decides first at the same bar, which comes a gap of the longest feature window after the last bar that
    any policy was trained on. Every account trades at the costs of the first policy; features and positions are each
    policy's own. `source` is the config of the market, from which the best rule on a planted market follows.
    `on_progress` is called again and again. The result depends on the arguments alone.

    Raises ComparisonError when too few bars are left, or when the positions of a policy cannot be traded at the costs.
    """
    first = _first_decision(policies, market)
    costs = {name: getattr(policies[0].environment, name) for name in COSTS}
    rules = _rules(market, _with_costs(policies[0], costs), source, first)
    backtests = []
    for number, compared in enumerate(policies):
        config = _with_costs(compared, costs)
        begin = first - longest_window(config.features)
        bars = market[begin:]
        observer = Observer(bars, config, compared.statistics)
        # The rules trade only beside the first policy, because they would do the same beside each policy.
        targets = [target[begin:] for target in rules.values()] if number == 0 else []
        backtests.append(run_backtest(compared.policy, bars, config, observer, targets, on_progress))
    joined = _joined(backtests)
    if not np.isfinite(joined.equity).all():
        raise ComparisonError("equity is more than a number can hold; compare versions with smaller positions")
    traded = market[first:]
    points = curve_points(joined.equity)
    accounts = range(joined.equity.shape[1])
    versions, references = accounts[: len(policies)], accounts[len(policies) :]
    pairs = [*combinations(versions, 2), *((version, other) for version in versions for other in references)]
    return Comparison(
        names=(*(compared.name for compared in policies), *rules),
        policies=len(policies),
        performances=tuple(performances(joined, traded.bars_per_year, points, on_progress)),
        differences=paired_differences(joined.equity, pairs, seed=seed, on_progress=on_progress),
        bars=len(joined.cost),
        span=traded.span,
        digest=traded.digest,
        annualisation=traded.bars_per_year,
        costs=costs,
        timestamps=stamps(traded.timestamp[points]),
    )


def _first_decision(policies: Sequence[ComparedPolicy], market: MarketData) -> int:
    """Return the bar of the first decision. Raises ComparisonError when too few bars come after it."""
    last = max(policies, key=lambda compared: compared.trained_until)
    begin = int(np.searchsorted(market.timestamp, last.trained_until, side="right"))
    widest = max(policies, key=lambda compared: longest_window(compared.environment.features))
    window = longest_window(widest.environment.features)
    needed = window + FEWEST_BARS + 1
    if len(market) - begin < needed:
        raise ComparisonError(
            f"{count_of(len(market) - begin, 'bar')} after {last.trained_until}, the last bar that {last.name} was "
            f"trained on, but at least {needed} are needed: {window} for the features of {widest.name}, {FEWEST_BARS} "
            f"decisions and the bar after; {needed - len(market) + begin:,} more must close first"
        )
    return begin + window


def _with_costs(compared: ComparedPolicy, costs: dict[str, float]) -> EnvironmentConfig:
    try:
        return EnvironmentConfig.model_validate(compared.environment.model_dump() | costs)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise ComparisonError(f"{compared.name} cannot trade at the costs of the first version: {reason}") from error


def _rules(
    market: MarketData, config: EnvironmentConfig, source: MarketConfig | None, first: int
) -> dict[str, FloatArray]:
    """Return the target positions, [T], of each reference rule by its name."""
    rules = rule_targets(market, config)
    best = None if source is None else best_targets(source, market, config, first)
    if best is not None:
        rules["best_possible"] = best
    return {name.replace("_", " "): targets for name, targets in rules.items()}


def _joined(backtests: Sequence[Backtest]) -> Backtest:
    """Return the policies' accounts of all backtests, then the references' accounts, which the first one has."""
    first, *others = backtests
    fields = (
        np.concatenate([own[:, :1], *(field[:, :1] for field in of_others), own[:, 1:]], axis=1)
        for own, *of_others in zip(first, *others, strict=True)
    )
    return Backtest(*fields)


def _shortened(performance: Performance) -> dict[str, Any]:
    values = asdict(performance)
    curve = [float(f"{value:.7g}") for value in values.pop("equity_curve")]
    interval = values.pop("sharpe_interval")
    return values | {"sharpe_interval": None if interval is None else list(interval), "equity_curve": curve}
