"""Bars from a file with prices, in any layout that is recognised or described by the settings of the market."""

import os
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.file_access import open_under, unchanged_while_read
from rl_training.core.market.files.bars_of_rows import BarMaker
from rl_training.core.market.files.containers import Content, content_of
from rl_training.core.market.files.head import read_head
from rl_training.core.market.files.plain import read_plain
from rl_training.core.market.files.recognition import Plan, plan_table, plan_text
from rl_training.core.market.files.rows import Collector, Rows
from rl_training.core.market.files.tables import ArrowTable, Batch, ParquetTable, skip_bytes, text_batches
from rl_training.core.market.quality import find_suspicions
from rl_training.core.market.reading import MarketReading
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_layouts import PLAIN


def load_file(config: MarketConfig, root: Path) -> MarketData:
    """Return the bars of the file `config.path`, relative to `root`. The file must be inside `root`.

    The first bytes show the compression and whether the file is Parquet, Arrow or text. `config.format` selects the
    layout; with `auto` the first rows do. `MarketData.reading` says how the file was read. Raises MarketDataError with
    the file, the rule and the row; rows count from 1 after the header, without blank lines.
    """
    try:
        with open_under(root, config.path) as file, unchanged_while_read(file):
            if config.format == PLAIN.name:
                return _with_suspicions(read_plain(file, config.path), config)
            content = content_of(file, os.fstat(file.fileno()).st_size)
            plan, rows = _read(content, config)
            return BarMaker(rows, plan, config, content.compression).make()
    except MarketDataError as error:
        error.file = config.path
        raise
    except pa.ArrowException as error:
        raise MarketDataError(f"cannot be read: {error}", file=config.path) from error


def _read(content: Content, config: MarketConfig) -> tuple[Plan, Rows]:
    if content.kind != "text":
        table = (ParquetTable if content.kind == "parquet" else ArrowTable)(content.open())
        plan = plan_table(table.names, config)
        return plan, Collector(lambda: table.batches(plan.columns), plan, config).collect()
    plan = plan_text(read_head(content.open(), config.skip_rows), config)
    # Of each time that the rows are read: the first reads all of them, and others may look ahead meanwhile.
    left_out: list[array[int]] = []

    def batches() -> Iterator[Batch]:
        left_out.append(array("q"))
        file = content.open()
        skip_bytes(file, plan.start)
        skipped = left_out[-1] if config.bad_rows == "drop" else None
        return text_batches(file, len(plan.names), plan.roles, plan.separator, skipped, any_encoding=True)

    rows = Collector(batches, plan, config).collect()
    if skipped := left_out[0]:
        rows.drops["bad_rows"] += len(skipped)
        rows.total += len(skipped)
        # Each row that was left out moves the numbers of the rows after it.
        before = np.array(skipped) - np.arange(len(skipped))
        rows.number = rows.number + np.searchsorted(before, rows.number, side="right")
    return plan, rows


def _with_suspicions(market: MarketData, config: MarketConfig) -> MarketData:
    found = find_suspicions({name: getattr(market, name) for name in COLUMNS})
    reading = MarketReading(layout=PLAIN.name, separator=",", decimal=".", suspicions=found)
    return market.read_as(reading)
