"""Finds out which layout of `core/market_layouts.py` a table has, and its columns, signs and timestamps."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rl_training.core.market.bars import PRICES, MarketDataError
from rl_training.core.market.columns import shown
from rl_training.core.market.files.head import Head, is_time_like, is_words, words_alone
from rl_training.core.market.files.names import (
    NAMES,
    ROWS_TRIED,
    TWO_NAMES,
    Further,
    choose_symbol,
    find_roles,
    listed,
    position_of,
    simple_name,
)
from rl_training.core.market.files.numbers import decimal_of, number_in
from rl_training.core.market.files.zones import zone_in_names
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_layouts import BY_NAME, LAYOUTS, Layout, layout_named

# A line of words with fewer cells is a title, not a header.
FEWEST_NAMES = 3
# The beginning of a cell that can only be a time.
DATE = re.compile(r"\d{1,4}[-/.]\d")


@dataclass(frozen=True)
class Plan:
    """The plan by which a table is read.

    names      the names of the columns, as they are written; without a header, the names of the layout
    roles      the position of the column of each role; the role of a further column that is read is its feature
    further    in a survey: the columns without another role
    surveyed   in a survey: the positions, by role, of the columns of `further` whose rows are all checked
    start      the number of bytes before the first row of a text
    header     whether the names are a line of the text
    tickers    whether names or lines above them name instruments
    """

    layout: Layout
    names: tuple[str, ...]
    roles: dict[str, int]
    separator: str = ""
    encoding: str = ""
    start: int = 0
    header: bool = False
    decimal: str = "."
    notes: tuple[str, ...] = ()
    further: tuple[Further, ...] = ()
    surveyed: dict[str, int] = field(default_factory=dict)
    tickers: bool = False

    @property
    def names_instruments(self) -> bool:
        """Whether the file names the instrument of its bars."""
        return self.tickers or "symbol" in self.roles

    @property
    def zone(self) -> str:
        """The zone of the times, as the header writes it."""
        of_times = [self.columns[role] for role in ("timestamp", "time") if role in self.roles]
        return zone_in_names(self.names, of_times)

    @property
    def columns(self) -> dict[str, str]:
        """The name of the column of each role."""
        return {role: self.names[position] for role, position in self.roles.items()}

    @property
    def unused(self) -> tuple[str, ...]:
        """The names of the columns without a role."""
        used = set(self.roles.values())
        return tuple(name for position, name in enumerate(self.names) if position not in used and name)


def plan_text(head: Head, config: MarketConfig, columns: Sequence[str] = ()) -> Plan:
    """Return how a text file is read. Raises MarketDataError that names what is missing or ambiguous.

    The further columns with these names decide the decimal sign where prices and volumes do not.
    """
    layout = layout_named(config.format)
    names, start, notes = _header(head, layout, config.symbol)
    if names is None:
        if head.first_row == len(head.lines):
            raise MarketDataError(f"no row of numbers follows; its first line has {listed(head.lines[0])}")
        plan = _without_header(head, layout, config)
    else:
        readable = _of_two_names(names, config.symbol)
        layout = layout or _layout_of(readable, head.rows)
        roles = _roles(readable, layout, config.columns, head.rows)
        tickers = bool(notes) or readable != names
        plan = Plan(layout, names, roles, header=True, start=start, notes=notes, tickers=tickers)
    if head.encoding != "UTF-8":
        plan = replace(plan, notes=(*plan.notes, f"the text is read as {head.encoding}"))
    prices, volumes = (
        [row[plan.roles[role]] for row in head.rows for role in roles if plan.roles.get(role, len(row)) < len(row)]
        for roles in (PRICES, ("volume",))
    )
    decimal: str = config.decimal
    if decimal == "auto":
        own = [cell for row in head.rows for name, cell in zip(plan.names, row, strict=False) if name in columns]
        decimal = decimal_of(prices, head.separator, volumes, own, points=plan.layout.decimal_point)
    return replace(plan, separator=head.separator, encoding=head.encoding, decimal=decimal)


def plan_table(names: Sequence[str], config: MarketConfig) -> Plan:
    """Return how a table with typed columns is read. Raises MarketDataError."""
    readable = _of_two_names(names, config.symbol)
    layout = layout_named(config.format) or _layout_of(readable, [])
    roles = _roles(readable, layout, config.columns, [])
    decimal = "." if config.decimal == "auto" else config.decimal
    return Plan(layout, tuple(names), roles, decimal=decimal, tickers=readable != tuple(names))


def _header(head: Head, layout: Layout | None, symbol: str) -> tuple[tuple[str, ...] | None, int, tuple[str, ...]]:
    """Return the names of the columns or None, the number of bytes before the first row, and notes."""
    above = head.lines[: head.first_row]
    scores = [_score(line) if len(line) >= FEWEST_NAMES else 0 for line in above]
    if max(scores, default=0) < 1:
        # Words above each column are names too, unless the user has chosen the layout of the columns.
        if (layout and layout.first) or not head.rows:
            return None, 0, ()
        _refuse_other_width(above, head.rows[0])
        scores = [is_words(line, head.rows[0]) for line in above]
        if not any(scores):
            return None, 0, ()
    best = scores.index(max(scores))
    names = list(above[best])
    notes: tuple[str, ...] = ()
    tickers = next((line for line in above if line and line[0].casefold() in ("ticker", "symbol", "tickers")), None)
    if tickers is not None and tickers is not above[best]:
        names, notes = _of_one_ticker(names, tickers, symbol)
    start = best + 1
    while start < head.first_row and not any(is_time_like(cell) for cell in head.lines[start]):
        start += 1
    width = len(head.lines[start]) if start < len(head.lines) else len(names)
    if len(names) == width + 1 and not names[-1]:
        del names[-1]
    if len(names) == width - 1:
        # R writes a column of row names without a header cell; other programs end each row with a separator.
        names = [*names, ""] if head.lines[start][-1] == "" else ["", *names]
    offset = head.offsets[start] if start < len(head.lines) else head.end
    return tuple(names), offset, notes


def _score(line: Sequence[str]) -> int:
    simple = {simple_name(cell) for cell in line}
    return sum(
        any(name in simple or any(cell.endswith(f" {name}") for cell in simple) for name in NAMES[price])
        for price in PRICES
    )


def _refuse_other_width(above: Sequence[Sequence[str]], row: Sequence[str]) -> None:
    """Raise MarketDataError if the line above the first row may be a header with another number of columns."""
    line = above[-1] if above else ()
    if abs(len(line) - len(row)) > 1 and len(line) >= FEWEST_NAMES and words_alone(line) >= len(line) - 1:
        raise MarketDataError(
            f"the line above its first row has {len(line)} words, and the row has {len(row)} cells: {listed(line)}; "
            "if it is no header, leave it out with skip_rows; if it is a header, correct it, or also name the columns "
            "by their index with the setting columns"
        )


def _of_one_ticker(names: list[str], tickers: Sequence[str], symbol: str) -> tuple[list[str], tuple[str, ...]]:
    found = list(dict.fromkeys(ticker for ticker in tickers[1:] if ticker))
    if not found:
        return names, ()
    chosen = choose_symbol(found, symbol)
    kept = [
        name if ticker in (chosen, "") or not number else ""
        for number, (name, ticker) in enumerate(zip(names, tickers, strict=False))
    ]
    return kept, (f"the instrument is {chosen}",)


def _of_two_names(names: Sequence[str], symbol: str) -> tuple[str, ...]:
    """Return the names; for a pair such as `('Close', 'AAPL')` its first part, or its second if that is the price."""
    pairs = [found.groups() if (found := TWO_NAMES.fullmatch(name.strip())) else (name, "") for name in names]
    if not any(second for _, second in pairs):
        return tuple(first for first, _ in pairs)
    firsts, seconds = (["", *column] for column in zip(*pairs, strict=True))
    if _score(seconds) > _score(firsts):
        firsts, seconds = (
            ["", *(second or first for first, second in pairs)],
            ["", *(first if second else "" for first, second in pairs)],
        )
    return tuple(_of_one_ticker(firsts, seconds, symbol)[0][1:])


def _layout_of(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Layout:
    simple = [simple_name(name) for name in names]
    for layout in LAYOUTS:
        required = {simple_name(name) if "*" not in name else name for name in layout.required}
        if layout.first:
            exact = [simple_name(name) for name in layout.names] == simple
            if exact and not (layout.timezone or layout.general) and rows and _begins(layout, rows[0]):
                return layout
        elif all(any(_fits(name, wanted) for name in simple) for wanted in required):
            return layout
    return BY_NAME


def _fits(name: str, wanted: str) -> bool:
    return name.startswith(wanted.removesuffix("*")) if wanted.endswith("*") else name == wanted


def _begins(layout: Layout, row: Sequence[str]) -> bool:
    return all(re.fullmatch(pattern, cell) for pattern, cell in zip(layout.first, row, strict=False))


def _roles(
    names: Sequence[str], layout: Layout, chosen: Mapping[Any, str], rows: Sequence[Sequence[str]]
) -> dict[str, int]:
    by_user = {role: position_of(role, name, names) for role, name in chosen.items()}
    # A column that the user has named for a role gets no other role by its name.
    roles = find_roles(["" if position in by_user.values() else name for position, name in enumerate(names)], by_user)
    simple = [simple_name(name) for name in names]
    roles |= {role: simple.index(name) for role, name in layout.roles.items() if name in simple}
    roles |= by_user
    if "timestamp" not in roles:
        found = [position for position in range(len(names)) if _holds_times(rows, position, roles)]
        if len(dates := [names[position] for position in found if DATE.match(rows[0][position])]) > 1:
            raise MarketDataError(
                f"{len(dates)} columns hold times, {listed(dates)}: name the one that says when a bar begins, as in "
                f"columns: {{'timestamp': {dates[0]!r}}}"
            )
        if found:
            roles["timestamp"] = found[0]
    position = roles.get("timestamp", 0)
    cells = [row[position] for row in rows[:ROWS_TRIED] if position < len(row)]
    if "time" not in roles and cells and all(re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?(\.\d+)?", cell) for cell in cells):
        raise MarketDataError(
            f"the column {shown(names[position])} holds times of day alone; name it and the column of the dates, as in "
            f"columns: {{'timestamp': 'Date', 'time': {names[position]!r}}}"
        )
    missing = [role for role in ("timestamp", *PRICES) if role not in roles]
    if missing:
        raise MarketDataError(
            f"no column is named {', '.join(missing)}; the header has {listed(names)}; name them with the setting "
            "columns"
        )
    return roles


def _holds_times(rows: Sequence[Sequence[str]], position: int, roles: Mapping[str, int]) -> bool:
    cells = [row[position] for row in rows[:ROWS_TRIED] if position < len(row)]
    return position not in roles.values() and bool(cells) and all(is_time_like(cell) for cell in cells)


def _without_header(head: Head, layout: Layout | None, config: MarketConfig) -> Plan:
    rows, start = head.rows[:ROWS_TRIED], head.offsets[head.first_row]
    width = len(rows[0])
    if config.columns:
        names = layout.names if layout and len(layout.names) == width else tuple(str(number) for number in range(width))
        return Plan(layout or BY_NAME, names, _roles(names, BY_NAME, config.columns, rows), start=start)
    candidates = [
        known
        for known in ([layout] if layout else LAYOUTS)
        if known.first and len(known.names) == width and _begins(known, rows[0])
    ]
    plans = [Plan(known, known.names, find_roles(known.names), start=start) for known in candidates]
    fitting = [plan for plan in plans if _bars_fit(rows, plan, head.separator, config.decimal)]
    if not fitting:
        fits = "puts open and close between low and high" if plans else "fits its first row"
        advice = "{'timestamp': '0', 'open': '1', 'high': '2', 'low': '3', 'close': '4'}"
        raise MarketDataError(
            f"has no header, and no known order of {width} columns {fits}: {listed(rows[0])}; "
            f"name them with the setting columns, such as {advice}"
        )
    other = next((plan for plan in fitting if plan.roles != fitting[0].roles), None)
    if other:
        raise MarketDataError(
            f"has no header, and its columns {listed(rows[0])} may be {', '.join(fitting[0].names)} or "
            f"{', '.join(other.names)}: set format to {fitting[0].layout.name} or {other.layout.name}"
        )
    return fitting[0]


def _bars_fit(rows: Sequence[Sequence[str]], plan: Plan, separator: str, decimal: str) -> bool:
    """Return whether open and close are between low and high in nearly all rows."""
    roles = plan.roles
    cells = [row[roles[price]] for row in rows for price in PRICES]
    if decimal == "auto":
        decimal = decimal_of(cells, separator, points=plan.layout.decimal_point)
    fits = tried = 0
    for row in rows:
        try:
            opened, high, low, close = (number_in(row[roles[price]], decimal) for price in PRICES)
        except ValueError:
            continue
        tried += 1
        fits += low <= min(opened, close) * (1 + 1e-6) and high >= max(opened, close) * (1 - 1e-6)
    return tried > 0 and fits >= 0.9 * tried
