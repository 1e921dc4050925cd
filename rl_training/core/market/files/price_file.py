"""Bars from a file with prices, in any layout that is recognised or described by the settings of the market."""

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import BufferedReader
from pathlib import Path

import numpy as np
import pyarrow as pa

from rl_training.core.market.bars import COLUMNS, MarketData, MarketDataError
from rl_training.core.market.columns import as_text
from rl_training.core.market.file_access import open_under, unchanged_while_read
from rl_training.core.market.files.bars_of_rows import BarMaker
from rl_training.core.market.files.containers import Content, content_of
from rl_training.core.market.files.head import read_head
from rl_training.core.market.files.names import Further, further_columns, further_named
from rl_training.core.market.files.numbers import to_floats
from rl_training.core.market.files.plain import read_plain, unused_names
from rl_training.core.market.files.recognition import Plan, plan_table, plan_text
from rl_training.core.market.files.rows import Collector, Rows
from rl_training.core.market.files.tables import ArrowTable, Batch, ParquetTable, skip_bytes, text_batches
from rl_training.core.market.quality import find_suspicions
from rl_training.core.market.reading import MarketReading
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_layouts import PLAIN
from rl_training.core.market_values import OWN

NOT_PLAIN = "the layout plain has no further columns; set format to auto"


def load_file(config: MarketConfig, root: Path, columns: Sequence[str] = (), *, survey: bool = False) -> MarketData:
    """Return the bars of the file `config.path`, relative to `root`, with the further columns of these names.

    The first bytes show the compression and whether the file is Parquet, Arrow or text. `config.format` selects the
    layout; with `auto` the first rows do. `MarketData.reading` says how the file was read; with `survey`, also which
    further columns can be features. The file must be inside `root`. Raises MarketDataError with the file, the rule and
    the row; rows count from 1 after the header, without blank lines.
    """
    with _opened(config, root) as file:
        if config.format == PLAIN.name:
            refuse_plain(columns)
            return _as_plain(read_plain(file, config.path), file, survey=survey)
        content = content_of(file, os.fstat(file.fileno()).st_size)
        plan, rows = _read(content, config, columns, survey=survey)
        return BarMaker(rows, plan, config, content.compression).make()


def find_further(config: MarketConfig, root: Path) -> list[Further]:
    """Return the further columns of a file, as its first rows show them. Raises MarketDataError."""
    with _opened(config, root) as file:
        if config.format == PLAIN.name:
            return []
        content = content_of(file, os.fstat(file.fileno()).st_size)
        return list(_plan(content, config, (), survey=True)[0].further)


@contextmanager
def _opened(config: MarketConfig, root: Path) -> Iterator[BufferedReader]:
    try:
        with open_under(root, config.path) as file, unchanged_while_read(file):
            yield file
    except MarketDataError as error:
        error.file = config.path
        raise
    except pa.ArrowException as error:
        raise MarketDataError(f"cannot be read: {error}", file=config.path) from error


Table = ParquetTable | ArrowTable


def _plan(content: Content, config: MarketConfig, columns: Sequence[str], *, survey: bool) -> tuple[Plan, Table | None]:
    """Return how the content is read, and the table if its columns have types."""
    if content.kind != "text":
        table = (ParquetTable if content.kind == "parquet" else ArrowTable)(content.open())
        plan = plan_table(table.names, config)
        return with_further(plan, columns, partial(_first_cells, table), survey=survey), table
    head = read_head(content.open(), config.skip_rows)
    rows = head.rows
    cells = lambda position: as_text([row[position] for row in rows if position < len(row)])  # noqa: E731
    return with_further(plan_text(head, config, columns), columns, cells, survey=survey), None


def _first_cells(table: Table, position: int) -> pa.Array:
    name = table.names[position]
    return next((batch[name] for batch in table.batches({name: name})), pa.nulls(0))


def with_further(plan: Plan, columns: Sequence[str], first_cells: Callable[[int], pa.Array], *, survey: bool) -> Plan:
    """Return the plan with the further columns of these names, and with a survey of all of them if wanted.

    `first_cells` returns the first cells of the column at a position. Raises MarketDataError if a name can be no
    feature.
    """
    if not columns and not survey:
        return plan
    read = lambda cells, role: to_floats(cells, role, plan.decimal)  # noqa: E731
    further = further_columns(plan.names, plan.roles.values(), first_cells, read)
    roles = plan.roles | {OWN + name: further_named(name, further, plan.columns).position for name in columns}
    surveyed = {OWN + column.name: column.position for column in further if survey and not column.problem}
    return replace(plan, roles=roles, further=tuple(further) if survey else (), surveyed=surveyed)


def _read(content: Content, config: MarketConfig, columns: Sequence[str], *, survey: bool) -> tuple[Plan, Rows]:
    plan, table = _plan(content, config, columns, survey=survey)
    positions = plan.roles | plan.surveyed
    if table is not None:
        names = {role: plan.names[position] for role, position in positions.items()}
        return plan, Collector(lambda: table.batches(names), plan, config).collect()
    # One list for each reading of the rows. The first reading reads all rows; others may look ahead meanwhile.
    left_out: list[array[int]] = []

    def batches() -> Iterator[Batch]:
        left_out.append(array("q"))
        file = content.open()
        skip_bytes(file, plan.start)
        skipped = left_out[-1] if config.bad_rows == "drop" else None
        return text_batches(file, len(plan.names), positions, plan.separator, skipped, encoding=plan.encoding)

    rows = Collector(batches, plan, config).collect()
    if skipped := left_out[0]:
        rows.drops["bad_rows"] += len(skipped)
        rows.total += len(skipped)
        # Each row that was left out increases the numbers of the rows after it.
        before = np.array(skipped) - np.arange(len(skipped))
        rows.number = rows.number + np.searchsorted(before, rows.number, side="right")
    return plan, rows


def refuse_plain(columns: Sequence[str]) -> None:
    """Raise MarketDataError if there are names of further columns, which the plain layout does not have."""
    if columns:
        raise MarketDataError(f"{OWN}{columns[0]} can be no feature: {NOT_PLAIN}")


def _as_plain(market: MarketData, file: BufferedReader, *, survey: bool) -> MarketData:
    """Return the market with a description of how it was read from `file`."""
    unused = unused_names(file)
    reading = MarketReading(
        layout=PLAIN.name,
        separator=",",
        decimal=".",
        unused=unused,
        further=dict.fromkeys(unused, NOT_PLAIN) if survey else {},
        suspicions=find_suspicions({name: getattr(market, name) for name in COLUMNS}),
    )
    return market.read_as(reading)
