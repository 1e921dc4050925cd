"""The results of a version as columns: copies of values in its large evaluation, so that lists need not read it.

Other releases stored other evaluations, so a missing or unreadable value becomes None.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from rl_training.core.market_config import MarketConfig

MARKET_LENGTH = 600
# By the name of the column: the path of the value in an evaluation. See `Evaluation` in core/evaluation.
PATHS: dict[str, tuple[str | int, ...]] = {
    "held_out_return": ("total_return",),
    "buy_and_hold_return": ("buy_and_hold", "total_return"),
    "flat_return": ("flat", "total_return"),
    "sharpe": ("sharpe",),
    "sharpe_low": ("sharpe_interval", 0),
    "sharpe_high": ("sharpe_interval", 1),
    "max_drawdown": ("max_drawdown",),
    "turnover": ("turnover",),
    "time_in_market": ("time_in_market",),
}
MOST_BARS = 2**31 - 1


def results_of(evaluation: Any) -> dict[str, float | int | None]:
    """Return the columns that an evaluation fills, by name."""
    found: dict[str, float | int | None] = {name: _number(_at(evaluation, path)) for name, path in PATHS.items()}
    bars = _at(evaluation, ("bars",))
    readable = isinstance(bars, int) and not isinstance(bars, bool) and 0 <= bars <= MOST_BARS
    return found | {"held_out_bars": bars if readable else None}


def market_label(config: Any) -> str:
    """Return the label of the market in the config of a run; empty when it is unreadable."""
    try:
        return MarketConfig.model_validate(config["market"]).label[:MARKET_LENGTH]
    except (ValidationError, KeyError, TypeError):
        return ""


def _at(value: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        if isinstance(key, int):
            value = value[key] if isinstance(value, list | tuple) and len(value) > key else None
        else:
            value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < math.inf else None
