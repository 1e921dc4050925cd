"""Numbers as people write them: decimal commas, thousands separators, currency signs, and K, M and B."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rl_training.core.market.bars import MAX_VALUE, MarketDataError
from rl_training.core.market.columns import (
    as_mask,
    as_numpy,
    cell_text,
    is_number,
    shown,
    trimmed,
    valid_text,
)
from rl_training.core.market_values import OWN, is_own

# Cells as float64, which cells are empty, and which are no numbers; each [cells].
Floats = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]

# A further column with a larger share of missing values is incomplete. Rows before its first value do not count.
MOST_LACKING = 0.1
ADVICE = "write a number there, or set bad_rows to drop, which leaves such rows out"
EMPTY = r"(?i)^(null|nan|nat|n/?a|none|nil|<na>|#n/?a( n/a)?|--?|\?|\\n)?$"
# Blanks and the apostrophe of Swiss thousands. They are ignored, as are all SIGNS around a number.
BLANKS = r"\s'\x{2019}\x{00a0}\x{202f}\x{2009}"
SIGNS = rf"[{BLANKS}$€£¥₹₿]"
# Before other than three digits, a blank or an apostrophe separates no thousands: 110'16 is 110 and 16/32.
TORN = rf"\d[{BLANKS}]+(\d{{1,2}}|\d{{4,}})([^\d]|$)"
# Before three digits it may separate thousands, or 32nds with halves and quarters: 110'165 is 110 and 16.5/32.
THIRTY_SECONDS = re.compile(r"\d+['\u2019]([012]\d|3[01])[0257]")
UNITS = {"K": "e3", "M": "e6", "B": "e9", "T": "e12"}
WITH_POINT = r"^[+-]?(\d*|\d{1,3}(,\d{2,3})*,\d{3})(\.\d*)?([eE][+-]?\d+|[KMBTkmbt])?$"
WITH_COMMA = r"^[+-]?(\d*|\d{1,3}(\.\d{3})+)(,\d*)?([eE][+-]?\d+|[KMBTkmbt])?$"

# Numbers that certainly have a decimal comma, and numbers that certainly have a decimal point.
COMMA = re.compile(
    r"[+-]?((\d{1,3}(\.\d{3})+|\d+),(\d{1,2}|\d{4,})|0,\d+|\d{4,},\d{3}|\d{1,3}(\.\d{3}){2,}(,\d*)?"
    r"|\d{1,3}(\.\d{3})+,\d+)"
)
POINT = re.compile(r"[+-]?(\d*\.(\d{1,2}|\d{4,})|0?\.\d+|\d{4,}\.\d{3}|\d{1,3}(,\d{2,3})+\.\d*|\d{1,3}(,\d{2,3}){2,})")


def decimal_of(
    prices: Sequence[str],
    separator: str,
    volumes: Sequence[str] = (),
    further: Sequence[str] = (),
    *,
    points: bool = False,
) -> str:
    """Return the decimal sign of the prices in the cells.

    If no price shows the sign, the volumes do; if no volume does, the further columns do.

    With commas between the cells, or if `points` says that the layout has decimal points, 1.234 has a decimal point.
    Raises MarketDataError with both readings if either sign fits.
    """
    if prices and all(THIRTY_SECONDS.fullmatch(cell) for cell in prices):
        raise MarketDataError(
            f"its first prices {', '.join(map(shown, prices[:3]))} have thousands, or 32nds and parts of them, as "
            "prices of bonds have: set decimal to '.' for thousands, and write fractions as decimals"
        )
    conventional = points or separator == ","
    grouped = {}
    for kind, cells in (("prices", prices), ("volumes", volumes), ("further columns", further)):
        bare = [re.sub(r"[\s$€£¥₹₿'\u2019\u00a0\u202f\u2009]|[KMBTkmbt%]$", "", cell) for cell in cells]
        comma = any(COMMA.fullmatch(cell) for cell in bare)
        point = any(POINT.fullmatch(cell) for cell in bare)
        if comma and point:
            raise MarketDataError(f"some {kind} have a decimal comma and some a decimal point; write all in one way")
        if comma or point:
            return "," if comma else "."
        signs = "," if conventional and kind == "prices" else "" if conventional else ",."
        grouped[kind] = [cell for cell in bare if signs and re.fullmatch(rf"[+-]?\d{{1,3}}[{signs}]\d{{3}}", cell)]
    kind, written = next(((kind, cells) for kind, cells in grouped.items() if cells), ("", []))
    if not written:
        return "."
    sign = "," if "," in written[0] else "."
    whole = ", ".join(cell.replace(sign, "") for cell in written[:3])
    broken = ", ".join(cell.replace(sign, ".") for cell in written[:3])
    other = "." if sign == "," else ","
    raise MarketDataError(
        f"its first {kind} {', '.join(shown(cell) for cell in written[:3])} are {whole} or {broken}: set decimal "
        f"to {other!r} for the first reading or to {sign!r} for the second"
    )


def to_floats(
    column: pa.Array, field: str, decimal: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return the cells as float64, which cells are empty, and which are no numbers; each [cells].

    Empty cells, and cells that are no numbers, are NaN.
    """
    column = trimmed(column)
    if is_number(column.type) or pa.types.is_null(column.type):
        return _of_numbers(column)
    if not pa.types.is_string(column.type):
        raise MarketDataError(f"column {field} holds {column.type}; numbers are needed")
    if decimal == "." and (found := _of_plain_text(column)):
        return found
    # The CSV reader does not check that cells are UTF-8, and the functions for text need it.
    column = valid_text(column.fill_null(""))
    if is_own(field):
        column = pc.replace_substring_regex(column, r"(\d)\s*%$", r"\1e-2")
        column = pc.replace_substring_regex(column, r"^\x{2212}", "-")
        if decimal == "." and (found := _of_plain_text(column)):
            return found
    return _of_text(column, decimal)


def number_in(text: str, decimal: str) -> float:
    """Return the number in a text that may have other signs around it. Raises ValueError."""
    text = re.sub(r"[^\d.,eE+-]", "", text)
    return float(text.replace(".", "").replace(",", ".") if decimal == "," else text.replace(",", ""))


def refuse_number(column: pa.Array, field: str, cell: int, row: int, decimal: str) -> None:
    """Raise MarketDataError for a cell that is empty or no number, at `row` of the file."""
    column = trimmed(column)
    text = cell_text(column, cell) if column[cell].is_valid else ""
    if not text or (is_number(column.type) and text == "nan"):
        raise MarketDataError(f"{field} is empty", row=row)
    hint = "; write fractions, such as 110'16, as decimals" if "'" in text else ""
    if "," in text and decimal == ".":
        hint = "; decimals are written with a point; a decimal comma needs the setting decimal"
    raise MarketDataError(f"{field} {shown(text)} is not a number{hint}", row=row)


def _of_numbers(column: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    if pa.types.is_decimal(column.type):
        # Arrow's own cast divides by a power of ten, which may be off by the last bit.
        column = column.cast(pa.string())
    values = as_numpy(column.cast(pa.float64(), safe=False).fill_null(np.nan))
    return values, np.isnan(values), np.zeros(len(values), np.bool_)


def _of_plain_text(column: pa.Array) -> Floats | None:
    """Return the numbers if all cells are written as programs write them."""
    try:
        values = as_numpy(column.cast(pa.float64()))
    except (pa.ArrowInvalid, ValueError):
        return None
    return values, np.isnan(values), np.zeros(len(values), np.bool_)


def _of_text(column: pa.Array, decimal: str) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
    empty = as_numpy(pc.match_substring_regex(column, EMPTY))
    bare = pc.replace_substring_regex(column, SIGNS, "")
    numbers = as_numpy(pc.match_substring_regex(bare, WITH_COMMA if decimal == "," else WITH_POINT))
    numbers &= as_numpy(pc.match_substring_regex(bare, r"\d")) & ~as_numpy(pc.match_substring_regex(column, TORN))
    thousands = "." if decimal == "," else ","
    bare = pc.replace_substring(bare, thousands, "")
    if decimal == ",":
        bare = pc.replace_substring(bare, ",", ".")
    if as_numpy(pc.match_substring_regex(bare, "[KMBTkmbt]$")).any():
        for unit, power in UNITS.items():
            bare = pc.replace_substring_regex(bare, f"(?i){unit}$", power)
    # Infinity is a number here, because MarketData refuses it with a message of its own.
    infinite = as_numpy(pc.match_substring_regex(bare, r"(?i)^[+-]?inf(inity)?$"))
    usable = numbers | infinite
    bare = pc.if_else(as_mask(usable), bare, "nan")
    return as_numpy(bare.cast(pa.float64())), empty, ~(usable | empty)


def unusable(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values of a further column are missing, not numbers, infinite or too large."""
    # The negated comparison also finds NaN, for which every comparison is false.
    return ~(np.abs(values) <= MAX_VALUE)


def lacking(own: Mapping[str, NDArray[np.float64]]) -> NDArray[np.bool_]:
    """Return which bars, in time order, lack a usable value in any of the named columns.

    Raises MarketDataError if they are too many.
    """
    found: NDArray[np.bool_] = np.logical_or.reduce([unusable(values) for values in own.values()])
    early = int((~found).argmax()) if not found.all() else 0
    if int(found.sum()) - early > MOST_LACKING * (len(found) - early):
        names = ", ".join(OWN + name for name in own)
        raise MarketDataError(
            f"{int(found.sum()):,} of {len(found):,} rows have no usable number in {names}; after the first value, at "
            "most a tenth may be dropped"
        )
    return found


def refuse_value(column: pa.Array, role: str, cell: int, row: int) -> None:
    """Raise MarketDataError for an unusable cell of a further column at `row` of the file."""
    raise MarketDataError(f"{role} {described(column, cell)}; {ADVICE}", row=row)


def described(column: pa.Array, cell: int) -> str:
    """Return a text that says why a cell is unusable."""
    column = trimmed(column)
    text = cell_text(column, cell) if column[cell].is_valid else ""
    if not text or text.casefold() == "nan":
        return "is empty"
    hint = "; a decimal comma needs the setting decimal" if "," in text else ""
    return f"{shown(text)} is no finite number{hint}"


def own_of(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further columns of a mapping of columns by role, with their names as keys."""
    return {role.removeprefix(OWN): values for role, values in columns.items() if is_own(role)}
