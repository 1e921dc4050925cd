"""Loads the bars of a MarketConfig from its source.

To add a source: add its name and its settings to MarketConfig, and a branch to `read_market`.
"""

import csv
import gzip
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import structlog

from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.market.exchange import load_exchange
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_values import OWN

logger = structlog.get_logger(__name__)


def load_market(
    config: MarketConfig,
    *,
    root: Path | None = None,
    until: datetime | None = None,
    on_page: Callable[[], None] = lambda: None,
    columns: Sequence[str] = (),
    survey: bool = False,
) -> MarketData:
    """Return the bars of the configured source, and log a summary of them.

    root     the folder with market files and the cache of exchange bars; by default the environment variable
             MARKET_DATA_ROOT
    until    the latest bars of an exchange before this time are loaded; by default now. Other sources ignore it
    on_page  called after each answer of an exchange
    columns  names of further columns of a file that the bars must have; no other source has further columns
    survey   whether `MarketData.reading` says which further columns of a file can be features

    Raises MarketDataError that names file, row and rule.
    """
    market = read_market(config, root=root, until=until, on_page=on_page, columns=columns, survey=survey)
    first, last = (when.isoformat() for when in market.span)
    where = {} if config.label == config.source else {"market": config.label}
    read = market.reading.summary() if market.reading else {}
    logger.info(
        "Market data loaded",
        source=config.source,
        **where,
        bars=len(market),
        gaps=market.gaps,
        first=first,
        last=last,
        **read,
    )
    return market


def refuse_columns(config: MarketConfig, columns: Sequence[str]) -> None:
    """Raise MarketDataError if there are names of further columns and the market is no file."""
    if columns and config.source != "file":
        raise MarketDataError(
            f"{OWN}{columns[0]} can be no feature: only a file has further columns, and the source is {config.source}"
        )


def read_market(
    config: MarketConfig,
    *,
    root: Path | None = None,
    until: datetime | None = None,
    on_page: Callable[[], None] = lambda: None,
    columns: Sequence[str] = (),
    survey: bool = False,
) -> MarketData:
    """Return the same as load_market(), without a log line."""
    refuse_columns(config, columns)
    match config.source:
        case "sp500" | "nasdaq":
            return _load_shipped(config.source)
        case "file":
            return load_file(config, root or _data_root(config), columns, survey=survey)
        case "exchange":
            return load_exchange(config, root or _data_root(config), until=until, on_page=on_page)
        case "planted":
            return planted_market(config)
        case _:
            assert_never(config.source)


def market_summary(config: MarketConfig, market: MarketData) -> dict[str, Any]:
    """Return the description of the bars that a run stores: name, digest, first and last timestamp, bars and gaps.

    For a market from a file, `reading` has the counts of what was repaired, dropped and suspicious.
    """
    first, last = (when.isoformat() for when in market.span)
    read = {"reading": market.reading.summary()} if market.reading else {}
    return {
        "name": config.label,
        "digest": market.digest,
        "first": first,
        "last": last,
        "bars": len(market),
        "gaps": market.gaps,
    } | read


def _data_root(config: MarketConfig) -> Path:
    root = os.environ.get("MARKET_DATA_ROOT", "")
    if not root:
        raise MarketDataError("MARKET_DATA_ROOT, the folder that market files are in, is not set", file=config.label)
    return Path(root)


def _load_shipped(name: str) -> MarketData:
    """Return the daily bars of an index for 1999-2018, from the data file in the `arch` package.

    The file is read without importing `arch`, which would import pandas and statsmodels and take over a second. The
    bars satisfy every rule of MarketData and are not changed. Limits of this data: an index itself cannot be traded; on
    nearly every day until 2006, and on some until 2013, the S&P 500's open equals the previous close; two of the
    Nasdaq's volumes are 0.
    """
    try:
        file = Path(str(distribution("arch").locate_file(f"arch/data/{name}/{name}.csv.gz")))
        with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
            rows = list(csv.DictReader(text))
    except (PackageNotFoundError, OSError) as error:
        raise MarketDataError(f"the {name} bars of the package arch cannot be read: {error}") from error
    dates = (row["Date"].split("/") for row in rows)
    days = np.array([f"{year}-{month:0>2}-{day:0>2}" for month, day, year in dates], dtype="datetime64[s]")
    columns = {
        field.lower(): np.array([float(row[field]) for row in rows])
        for field in ("Open", "High", "Low", "Close", "Volume")
    }
    return MarketData(timestamp=days, **columns)
