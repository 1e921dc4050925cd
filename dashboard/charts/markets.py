"""The market of each run, and series whose lines do not join runs on different markets."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any

from pydantic import ValidationError

from dashboard.charts.series import Colour, Series, Style, Value
from rl_training.core.market_config import MarketConfig

COLOURS: tuple[Colour, ...] = ("policy", "reference", "third", "fourth", "quiet")
UNKNOWN = ""


def market_of(config: Any) -> str:
    """Return the label of a stored market config, empty when it is unreadable."""
    try:
        return MarketConfig.model_validate(config).label
    except ValidationError:
        return UNKNOWN


def several(markets: Sequence[str]) -> list[str]:
    """Return the distinct known markets in the order of their first run; empty when there are fewer than two."""
    found = [market for market in dict.fromkeys(markets) if market != UNKNOWN]
    return found if len(found) > 1 else []


def by_market(
    label: str,
    values: Sequence[Value],
    markets: Sequence[str],
    style: Style = "line",
    colours: tuple[Colour, ...] = COLOURS,
) -> list[Series]:
    """Return a series of the values, or a series for each market with its name if there are several markets."""
    found = several(markets)
    if not found:
        return [Series(label, values, style, colours[0])]
    return [
        Series(f"{label}, {market}", _of(market, values, markets), style, colour, spans=True)
        for market, colour in zip(found, cycle(colours), strict=False)
    ]


def newest(values: Sequence[Value], markets: Sequence[str]) -> tuple[Sequence[Value], str]:
    """Return the values on the market of the newest run, and words that name it when there are several markets."""
    found = several(markets)
    if not found:
        return values, ""
    market = next(market for market in reversed(markets) if market != UNKNOWN)
    return _of(market, values, markets), f"{len(found)} markets. On {market}, the market of the newest run: "


def _of(market: str, values: Sequence[Value], markets: Sequence[str]) -> list[Value]:
    return [value if of == market else None for value, of in zip(values, markets, strict=True)]
