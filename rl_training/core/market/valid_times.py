"""Finds which cells are timestamps: by the form of all cells at once, and by trial conversion for the rest."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from rl_training.core.market.columns import (
    EARLIEST_EPOCH,
    MICROSECONDS_FROM,
    MILLISECONDS_FROM,
    NANOSECONDS_FROM,
    PER_SECOND,
    as_mask,
    as_numpy,
)

Convert = Callable[[pa.Array], NDArray[np.int64]]
Mask = NDArray[np.bool_]

# If more cells than this have the form of a timestamp but are none, the batch has another layout than its first row.
MOST_INVALID = 200
LEAP_YEAR = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
DATE = (
    r"(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    rf"|02-(?:0[1-9]|1\d|2[0-8]))|{LEAP_YEAR}-02-29)"
)
TIME = r"(?:[01]\d|2[0-3])(?::?[0-5]\d(?::?[0-5]\d(?:\.0+)?)?)?"
OFFSET = r"(?:Z|[+-]\d\d(?::?\d\d)?)"


def have_form_of_dates(iso: pa.Array, *, offset: bool) -> Mask:
    """Return which texts are dates of the calendar in ISO 8601, in whole seconds."""
    return as_numpy(pc.match_substring_regex(iso, f"^{DATE}(?:[ T]{TIME}{OFFSET if offset else ''})?$"))


def have_form_of_epochs(column: pa.Array) -> Mask:
    """Return which numbers, or texts of numbers, are epochs in whole seconds."""
    if pa.types.is_string(column.type):
        digits = pc.match_substring_regex(column, r"^[+-]?\d+(\.\d*)?([eE][+-]?\d+)?$")
        column = pc.if_else(digits, column, "nan")
    epoch = as_numpy(column.cast(pa.float64(), safe=False))
    units = (MILLISECONDS_FROM, MICROSECONDS_FROM, NANOSECONDS_FROM)
    per_second = np.array(list(PER_SECOND.values()))[np.searchsorted(units, epoch, side="right")]
    with np.errstate(invalid="ignore"):
        whole: Mask = (epoch // per_second >= EARLIEST_EPOCH) & (epoch % per_second == 0)
    return whole


def convertible(column: pa.Array, form: Mask, convert: Convert) -> Mask:
    """Return which cells that have the form can be converted, by bisection of the parts that cannot.

    Stops at the MOST_INVALID-th invalid cell, and counts all later cells as invalid.
    """
    places = np.flatnonzero(form)
    column = column.filter(as_mask(form))
    valid = np.zeros(len(form), np.bool_)
    parts, invalid = [(0, len(column))], 0
    while parts and invalid < MOST_INVALID:
        begin, end = parts.pop()
        if _converts(column[begin:end], convert):
            valid[places[begin:end]] = True
        elif end - begin > 1:
            middle = (begin + end) // 2
            parts += [(middle, end), (begin, middle)]
        else:
            invalid += 1
    return valid


def _converts(column: pa.Array, convert: Convert) -> bool:
    try:
        convert(column)
    except (pa.ArrowInvalid, ValueError):
        return False
    return True
