"""Rules that a policy is compared with: the position of each rule at each close, from prices up to that close."""

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.optimum import POSITIONS, optimum, upward_probability
from rl_training.core.market.bars import MarketData
from rl_training.core.market.planted import FIRST_OPEN
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.accounting import FloatArray

TREND_BARS = 20
# Nodes of the grid of signals. Finding the best rule on 201 nodes takes at most 0.1 s; on a finer grid, the rule
# decides the same at nearly every bar.
SIGNALS = 201


def rule_targets(market: MarketData, config: EnvironmentConfig) -> dict[str, FloatArray]:
    """Return the target positions, [T], of each rule after each bar, by the rule's name in Evaluation.

    The target of a sign rule is the sign of a return: 1, -1, or 0 if the price is unchanged, but never beyond the
    smallest and the largest of the environment's positions, among which flat always counts. A return over bars before
    the first one of `market` is unknown, and the target is 0.
    """
    held = np.ones(len(market))
    last, trend = _signs(market.close, 1), _signs(market.close, TREND_BARS)
    lowest, highest = min(0.0, *config.positions), max(0.0, *config.positions)
    signs = {"last_return_followed": last, "last_return_opposed": -last, "last_20_bars_followed": trend}
    return {
        "buy_and_hold": held,
        "flat": np.zeros(len(market)),
        **{name: sign.clip(lowest, highest) for name, sign in signs.items()},
    }


def best_targets(
    config: MarketConfig, market: MarketData, rules: EnvironmentConfig, first_bar: int
) -> FloatArray | None:
    """Return the target positions, [T], of the best rule on a planted market, from `first_bar` on; 0 before.

    `market` has all bars of the market of `config`. The rule knows how the market was made and all past returns, but no
    future returns. It maximises the expected log equity, with fee and slippage as the cost of turnover and as if the
    exposure were held constant between trades; see optimum.py. Returns None for other markets, and where the
    environment has other positions than -1, 0 and 1 or costs of holding.
    """
    other_costs = rules.borrow_rate != 0 or rules.funding_rate != 0
    if config.source != "planted" or set(rules.positions) != set(POSITIONS.tolist()) or other_costs:
        return None
    targets = np.zeros(len(market))
    if config.planted_kind != "independent":
        returns = np.log(market.close / np.concatenate([[FIRST_OPEN], market.close[:-1]]))
        signals = upward_probability(returns, config) if config.planted_kind == "regime" else returns
        best = optimum(config, rules.fee + rules.slippage, "rebalanced", SIGNALS)
        targets[first_bar:] = best.targets(signals[first_bar:])
    return targets


def _signs(close: FloatArray, bars: int) -> FloatArray:
    """Return the sign of the return over the last `bars` bars, [T]; 0 where it is unknown."""
    signs = np.zeros(len(close))
    signs[bars:] = np.sign(close[bars:] - close[:-bars])
    return signs
