"""Checks a market: whether it is usable or why not, how it was read, and which bars it has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.exchange_cache import ExchangeCache
from rl_training.core.market.exchange_series import Series
from rl_training.core.market.quality import find_suspicions
from rl_training.core.market.reading import WORDS, MarketReading
from rl_training.core.market.sources import read_market, refuse_columns
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_values import OWN
from rl_training.core.words import count_of

BARS_SHOWN = 3


@dataclass(frozen=True)
class MarketCheck:
    """The result of a check. `market` is None if its bars cannot be read; `problem` says why it is not usable.

    `setting` is the setting that does not fit the bars, if it is known.
    """

    config: MarketConfig
    problem: str
    market: MarketData | None
    reading: MarketReading
    setting: str = ""

    @property
    def usable(self) -> bool:
        """Whether a run can use the market."""
        return not self.problem

    @property
    def sentence(self) -> str:
        """The answer in a sentence."""
        if self.problem:
            return f"Not usable: {self.problem}"
        found = sum(suspicion.count for suspicion in self.reading.suspicions.values())
        return f"Usable, with {count_of(found, 'suspicion')}." if found else "Usable, without suspicions."

    def as_json(self) -> dict[str, Any]:
        """Return the check as JSON values."""
        reading = self.reading
        suspicions = {
            kind: {"count": suspicion.count, "examples": list(suspicion.examples)}
            for kind, suspicion in reading.suspicions.items()
        }
        return {
            "usable": self.usable,
            "problem": self.problem or None,
            "name": self.config.label,
            "layout": reading.layout,
            "compression": reading.compression,
            "separator": reading.separator,
            "decimal": reading.decimal,
            "columns": reading.columns,
            "unused": list(reading.unused),
            "features": [OWN + name for name, problem in reading.further.items() if not problem],
            "no_features": {name: problem for name, problem in reading.further.items() if problem},
            "zone": reading.zone,
            **self._bars(),
            "repairs": reading.repairs,
            "drops": reading.drops,
            "suspicions": suspicions,
            "notes": list(reading.notes),
        }

    def lines(self) -> Iterator[str]:
        """Yield the check as lines for a terminal."""
        yield self.sentence
        for key, value in self.as_json().items():
            if key in ("usable", "problem") or value in (None, "", [], {}):
                continue
            match key:
                case "repairs" | "drops":
                    yield f"{key}: " + ", ".join(f"{WORDS[kind]} {count:,}" for kind, count in value.items())
                case "suspicions":
                    for kind, found in value.items():
                        yield f"suspicion: {WORDS[kind]}, {found['count']:,}"
                        yield from (f"  {example}" for example in found["examples"][:BARS_SHOWN])
                case "columns":
                    yield f"{key}: " + ", ".join(f"{role} is {name!r}" for role, name in value.items())
                case "features":
                    yield f"can be features: {', '.join(value)}"
                case "no_features":
                    yield from (f"can be no feature: {name!r}, {why}" for name, why in value.items())
                case "first_bars" | "last_bars":
                    yield from (f"{key.replace('_', ' ')}: {', '.join(map(str, bar.values()))}" for bar in value)
                case _:
                    yield f"{key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value!r}"

    def _bars(self) -> dict[str, Any]:
        if self.market is None:
            return {}
        market = self.market
        first, last = market.span
        return {
            "bars": len(market),
            "first": first.isoformat(),
            "last": last.isoformat(),
            "days": round((last - first).total_seconds() / 86_400, 2),
            "spacing_seconds": market.spacing,
            "gaps": market.gaps,
            "has_volume": market.has_volume,
            "first_bars": [_bar(market, number) for number in range(min(BARS_SHOWN, len(market)))],
            "last_bars": [_bar(market, number) for number in range(max(0, len(market) - BARS_SHOWN), len(market))],
        }


def check_market(config: MarketConfig, root: Path, columns: Sequence[str] = (), *, cached: bool = False) -> MarketCheck:
    """Return what is known of a market. A file that is refused as suspicious is still read, to show why.

    `columns` are the further columns that a policy observes. A file that is refused because of them is read without
    them. With `cached`, the cached bars of an exchange are checked, without a request to the exchange.
    """
    problem, setting, market = "", "", None
    try:
        refuse_columns(config, columns)
        if cached and config.source == "exchange":
            market = _cached_bars(config, root)
        else:
            market = read_market(config, root=root, columns=columns, survey=True)
    except MarketDataError as error:
        problem, setting = str(error), error.setting
        if config.source == "file" and (columns or config.suspicious == "refuse"):
            try:
                market = read_market(config.model_copy(update={"suspicious": "warn"}), root=root, survey=True)
            except MarketDataError:
                market = None
    reading = market.reading if market is not None else None
    if market is not None and reading is None:
        found = find_suspicions({name: getattr(market, name) for name in COLUMNS})
        reading = MarketReading(layout=config.source, suspicions=found)
    return MarketCheck(config, problem, market, reading or MarketReading(), setting)


def _cached_bars(config: MarketConfig, root: Path) -> MarketData:
    series = Series(config.exchange, config.symbol, config.timeframe)
    market = ExchangeCache(series, root).read()
    if market is None:
        fetch = f"manage market_fetch {config.exchange} {config.symbol} {config.timeframe} {config.bars}"
        raise MarketDataError(f"no bars are cached yet; a run fetches them, and so does {fetch}", file=config.label)
    return market[-config.bars :]


def _bar(market: MarketData, number: int) -> dict[str, Any]:
    values = {name: float(getattr(market, name)[number]) for name in COLUMNS[1:]}
    if not market.has_volume:
        del values["volume"]
    return {"timestamp": str(market.timestamp[number]), **values}
