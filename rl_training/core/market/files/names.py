"""Brings names of columns into one form, and finds the role of each column, if it has one."""

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rl_training.core.market.bars import PRICES, MarketDataError
from rl_training.core.market.columns import TIMESTAMP_NAMES, cell_text, shown, trimmed
from rl_training.core.market.files.numbers import Floats
from rl_training.core.market_values import OWN, is_column_name

# Enough rows to recognise the order of columns without a header, and whether a column holds numbers.
ROWS_TRIED = 200
NAMES_LISTED = 20


def _listed(*lines: str) -> tuple[str, ...]:
    return tuple(name for line in lines for name in line.split(", "))


# Names in the form of `simple_name`, in order of preference.
DATES = (
    *(name.replace("_", " ") for name in TIMESTAMP_NAMES if name != "time"),
    *_listed(
        "ts, start, start time, start at, window start, time open, time period start, period start, begins at, mts, dt",
        "gmt time, local time, bar time, trade date, trading date, exchange date, trading day, dtyyyymmdd, snapped at",
        "date gmt, date utc, time utc, time gmt, datum, datum uhrzeit, zeitpunkt, zeitstempel, fecha, data, 日期, 时间",
        "дата, tarih, begin, dates, trad dt, datadate, 日付, 日付け, データ日付, 날짜, 일자",
    ),
)
TIMES = _listed("time, zeit, uhrzeit, hora, heure, ora, tijd, czas, godzina, время, saat, t")
# A column with one of these names may hold the date alone, with the time of day in another column.
DATES_ALONE = _listed("date, datum, fecha, data, 日期, 日付, 날짜, 일자, дата, tarih, dtyyyymmdd, trade date")
# The names that pandas gives to an index without a name. They count only if no column has a name of times.
INDEXES = ("index level 0", "index")
# Columns of pandas that have two names, such as those of yfinance.
TWO_NAMES = re.compile(r"""\(['"]([^'"]*)['"], *['"]([^'"]*)['"]\)""")
NAMES: dict[str, tuple[str, ...]] = {
    "open": _listed(
        "open, o, opening, open price, opening price, price open, px open, openp, eröffnung, eroeffnung, eroffnung",
        "eröffn, otwarcie, открытие, откр, açılış, openen, openingskoers",  # noqa: RUF001
        "erster, ouverture, ouv, apertura, abertura, 开盘, 开盘价, mid o, mid open, bid o, bid open, open bid",
        "ask open, 開盤價, 今开, 始値, 시가, 오픈, öppen, opn pric, open prc, openprc, prcod, 24h open",
    ),
    "high": _listed(
        "high, h, high price, price high, px high, highp, hoch, höchst, hoechst, höchstkurs, tageshoch, haut, plus "
        "haut",
        "hoog, hoogste, najwyższy, najwyzszy, максимум, макс, yüksek",
        "max, maximum, máximo, maximo, máxima, massimo, alto, 最高, 最高价, mid h, mid high, bid h, bid high, high bid",
        "ask high, 高, 最高價, 高値, 고가, högst, hgh pric, high 1, askhi, prchd, 24h high",
    ),
    "low": _listed(
        "low, l, low price, price low, px low, lowp, tief, tiefst, tiefstkurs, tagestief, bas, plus bas, min, minimum",
        "laag, laagste, najniższy, najnizszy, минимум, мин, düşük",
        "mínimo, minimo, mínima, baixo, bajo, 最低, 最低价, mid l, mid low, bid l, bid low, low bid, ask low",
        "低, 最低價, 安値, 저가, lägst, lw pric, low 1, bidlo, prcld, 24h low",
    ),
    "close": _listed(
        "close, c, close last, last, close price, closing price, price close, px last, closep, settle, settlement",
        "last price, price, schluss, schlusskurs, schlußkurs, letzter, zuletzt, clôture, cloture, dernier, cierre",
        "laatste, slot, slotkoers, ostatnio, zamknięcie, zamkniecie, закрытие, цена, şimdi, kapanış",  # noqa: RUF001
        "chiusura, fechamento, último, ultimo, 收盘, 收盘价, mid c, mid close, bid c, bid close, close bid, ask close",
        "收盤價, 終値, 종가, senaste, latest, clot, cls pric, trdprc 1, prc, prccd",
    ),
    "volume": _listed(
        "volume, v, vol, volumes, base volume, volumefrom, volume traded, px volume, total volume, tickvol, tick "
        "volume",
        "volumen, stück, stücke, umsatz, quantité, volume base, trade volume, shares traded, no of shares",
        "total trade quantity, total traded quantity, tottrdqty, ttl tradg vol, number of shares, acvol uns, cshtrd",
        "成交量, 交易量, 成交股數, 出来高, 거래량, wol, wolumen, объём, объем, hac, hacim",
    ),
    "adjusted_open": _listed("adj open, adjusted open"),
    "adjusted_high": _listed("adj high, adjusted high"),
    "adjusted_low": _listed("adj low, adjusted low"),
    "adjusted_close": _listed(
        "adj close, adjclose, adjusted close, adjusted closing price, close adj, close adjusted",
    ),
    "symbol": _listed(
        "symbol, ticker, tic, tckr symb, instrument, pair, sym, ric, isin, asset, security, ts code, underlying symbol",
        "secid, 代码",
    ),
}


def simple_name(name: str) -> str:
    """Return a column's name in lower case, as words with single spaces, without brackets, units and numbering."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip().strip("\ufeff\"'"))
    name = re.sub(r"\([^()]*\)|^\d+[.:)]\s*", " ", name.casefold())
    return " ".join(re.sub(r"[^\w%]+|_", " ", name).split())


def find_roles(names: Sequence[str], by_user: Container[str] = ()) -> dict[str, int]:
    """Return the positions of the columns that have a role, by the names of a header.

    `by_user` are roles whose columns the user has named; other columns with names of these roles are ignored.

    Raises MarketDataError if two columns have the name that decides a role.
    """
    written = [name.strip() for name in names]
    # If names differ only in case, such as `t` for open times and `T` for close times, the lower-case name counts.
    simple = ["" if name != name.lower() and name.lower() in written else simple_name(name) for name in written]
    found = {role: position for role, known in NAMES.items() if (position := _first(simple, known)) is not None}
    _add_prefixed_prices(simple, found)
    if "volume" not in found:
        # Such as `Volume BTC` and `Volume USD`: the first is in units of what is traded.
        of_unit = (number for number, name in enumerate(simple) if name.startswith(("volume ", "vol ")))
        if (position := next(of_unit, None)) is not None:
            found["volume"] = position
    date, time = _first(simple, DATES), _first(simple, TIMES)
    if date is not None:
        found["timestamp"] = date
        # An epoch, or a name that says both date and time, needs no second column.
        if time is not None and simple[date] in DATES_ALONE:
            found["time"] = time
    elif (position := time if time is not None else _first(simple, INDEXES)) is not None:
        found["timestamp"] = position
    plain = [name.casefold() if simple[position] else "" for position, name in enumerate(written)]
    for role, position in found.items():
        if plain.count(plain[position]) > 1 and role != "symbol" and role not in by_user:
            raise MarketDataError(
                f"{plain.count(plain[position])} columns are named {shown(names[position])}; the header has "
                f"{listed(names)}; choose one by its index, as in columns: {{{role!r}: '{position}'}}"
            )
    return found


def listed(names: Sequence[str]) -> str:
    """Return the names of a header for a message."""
    return ", ".join(shown(name) for name in names[:20]) or "no columns"


def position_of(role: str, wanted: str, names: Sequence[str]) -> int:
    """Return the position of the column that the user has named for a role, by its name or its index."""
    if wanted in names:
        return list(names).index(wanted)
    simple = [simple_name(name) for name in names]
    if simple_name(wanted) in simple:
        return simple.index(simple_name(wanted))
    if re.fullmatch(r"\d{1,4}", wanted) and int(wanted) < len(names):
        return int(wanted)
    raise MarketDataError(f"columns names {wanted!r} for {role}, which the file does not have; it has {listed(names)}")


def _first(simple: Sequence[str], known: Sequence[str]) -> int | None:
    return next((simple.index(name) for name in known if name in simple), None)


def _add_prefixed_prices(simple: Sequence[str], found: dict[str, int]) -> None:
    """Add prices whose names have one prefix in common, such as `AAPL.Open` and `AAPL.Close`."""
    missing = [field for field in PRICES if field not in found]
    if not missing:
        return
    by_prefix: dict[str, dict[str, int]] = {}
    for position, name in enumerate(simple):
        prefix, _, last = name.rpartition(" ")
        if prefix and last in (*PRICES, "volume"):
            by_prefix.setdefault(prefix, {}).setdefault(last, position)
    whole = {prefix: columns for prefix, columns in by_prefix.items() if not set(PRICES) - columns.keys()}
    if len(whole) > 1:
        raise MarketDataError(
            f"has columns of {len(whole)} instruments: {', '.join(list(whole)[:10])}; choose the columns of one by "
            "their names with the setting columns"
        )
    for columns in whole.values():
        found.update({field: position for field, position in columns.items() if field not in found})


def choose_symbol(found: Sequence[str], symbol: str) -> str:
    """Return which of the found instruments to read. Raises MarketDataError that lists them."""
    if not found:
        raise MarketDataError("has a column of instruments, but all its cells are empty")
    named = f"{', '.join(shown(name) for name in found[:10])}{' ...' if len(found) > 10 else ''}"
    if symbol:
        same = [name for name in found if name.casefold() == symbol.casefold()]
        if not same:
            raise MarketDataError(f"has no instrument {symbol!r}, the setting symbol; it has {named}", setting="symbol")
        return same[0]
    if "" in found and len(found) > 1:
        names = [name for name in found if name]
        raise MarketDataError(
            f"has rows whose instrument is empty, beside {listed(names)}: set symbol to "
            f"{shown(names[0]) if len(names) == 1 else 'one of them'}, which leaves these rows out",
            setting="symbol",
        )
    if len(found) > 1:
        raise MarketDataError(f"has {len(found)} instruments, {named}: set symbol to one of them", setting="symbol")
    return found[0]


class Further(NamedTuple):
    """A column without a role. `problem` says why it can be no feature; empty if its first cells are numbers."""

    name: str
    position: int
    problem: str = ""


def further_columns(
    names: Sequence[str], used: Iterable[int], first_cells: Callable[[int], pa.Array], read: Callable[..., Floats]
) -> list[Further]:
    """Return the columns at other positions than `used`.

    first_cells  returns the first cells of the column at a position; may raise MarketDataError
    read         converts cells to numbers, as `to_floats` does
    """
    taken = set(used)
    positions = [number for number, name in enumerate(names) if name.strip() and number not in taken]
    times, found = Counter(names[position].strip() for position in positions), []
    for position in positions:
        name = names[position].strip()
        problem = "" if is_column_name(name) else "its name is too long, or has control characters"
        if times[name] > 1:
            problem = "several columns have this name"
        found.append(Further(name, position, problem or _problem(name, position, first_cells, read)))
    return found


def _problem(name: str, position: int, first_cells: Callable[[int], pa.Array], read: Callable[..., Floats]) -> str:
    try:
        cells = first_cells(position)[:ROWS_TRIED]
        _, _, wrong = read(cells, OWN + name)
    except MarketDataError as error:
        return error.rule
    texts = (cell_text(trimmed(cells), int(cell)) for cell in np.flatnonzero(wrong))
    # The header may be repeated in the file.
    text = next((text for text in texts if text != name), "")
    return f"it holds text, such as {shown(text)}" if text else ""


def further_named(wanted: str, further: Sequence[Further], roles: Mapping[str, str]) -> Further:
    """Return the further column with this name. Raises MarketDataError that lists those that can be features.

    `roles` has the name of the column of each role.
    """
    column = next((column for column in further if column.name == wanted), None)
    if column is not None and not column.problem:
        return column
    usable = [OWN + column.name for column in further if not column.problem]
    more = " ..." if len(usable) > NAMES_LISTED else ""
    there = (
        f"columns that can be features: {', '.join(usable[:NAMES_LISTED])}{more}"
        if usable
        else ("it has no further column with numbers")
    )
    if column is not None:
        raise MarketDataError(f"{OWN}{wanted} can be no feature: {column.problem}; {there}")
    role = next((role for role, name in roles.items() if name.strip() == wanted), "")
    why = f"the column {shown(wanted)} is read as {role} already" if role else f"no column is named {shown(wanted)}"
    raise MarketDataError(f"{OWN}{wanted} can be no feature: {why}; {there}")
