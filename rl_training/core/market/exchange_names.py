"""The exchanges that ccxt knows, and the bars that they offer, without importing ccxt.

The import takes over a second and 80 MB, so the offered bars are read from the source text of the exchange's module.
"""

import difflib
import importlib.util
import pkgutil
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

BASE = re.compile(r"^class \w+\((\w+)", re.MULTILINE)
OFFERS_BARS = re.compile(r"^ {16}'fetchOHLCV': (\S+),", re.MULTILINE)
TIMEFRAMES = re.compile(r"^ {12}'timeframes': \{([^{}]*)\}", re.MULTILINE)


def _folders() -> list[str]:
    package = importlib.util.find_spec("ccxt")
    return list(package.submodule_search_locations or []) if package else []


@cache
def exchange_names() -> frozenset[str]:
    """Return the ids of all exchanges: ccxt has one module for each, and packages for everything else."""
    return frozenset(module.name for module in pkgutil.iter_modules(_folders()) if not module.ispkg)


@cache
def timeframes(exchange: str) -> tuple[str, ...] | None:
    """Return the lengths of the bars that an exchange offers, such as 1h; None if its module has no source here."""
    if _source(exchange) is None:
        return None
    # The value 'emulated' means bars from the latest trades, which are too few.
    if _stated(exchange, OFFERS_BARS) != "True":
        return ()
    listed = _stated(exchange, TIMEFRAMES)
    return None if listed is None else tuple(re.findall(r"'(\w+)':", listed))


def _source(module: str) -> str | None:
    paths = (Path(folder) / f"{module}.py" for folder in _folders())
    return next((path.read_text(encoding="utf-8") for path in paths if path.is_file()), None)


def _stated(exchange: str, pattern: re.Pattern[str]) -> str | None:
    """Return what the source of the exchange, or of the exchange that it is derived from, states."""
    if (source := _source(exchange)) is None:
        return None
    if found := pattern.search(source):
        return found[1]
    base = BASE.search(source)
    return _stated(base[1], pattern) if base and base[1] in exchange_names() else None


def unknown_exchange(name: str) -> str:
    """Return a message that ccxt knows no exchange of this name; empty if it does."""
    if name in exchange_names():
        return ""
    return f"exchange {name!r} is unknown to ccxt {version('ccxt')}{such_as(name, exchange_names())}"


def missing_bars(exchange: str, timeframe: str) -> tuple[str, str] | None:
    """Return the setting, exchange or timeframe, and why the exchange has no such bars; None if it may have them."""
    offered = timeframes(exchange)
    if offered is None or timeframe in offered:
        return None
    if not offered:
        return "exchange", f"{exchange} offers no bars"
    return "timeframe", f"{exchange} has no timeframe {timeframe}; it has {', '.join(offered)}"


def such_as(name: str, known: Iterable[str]) -> str:
    """Return a question with the known names nearest to `name`; empty if none is near."""
    near = difflib.get_close_matches(name, sorted(known))
    return f"; did you mean {' or '.join(near)}?" if near else ""
