"""Numbers as pages show them; a value that is not a finite number is shown as missing."""

import math
from typing import Any, TypeGuard

from django import template

register = template.Library()

MISSING = "-"


@register.filter
def figure(value: Any) -> str:
    """Return the number with four significant digits."""
    if not is_number(value):
        return MISSING
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


@register.filter
def percent(value: Any) -> str:
    """Return a share as a percentage with two decimals."""
    return f"{100 * value:,.2f} %" if is_number(value) else MISSING


@register.filter
def share(value: Any) -> str:
    """Return a share as a whole percentage; only an exact 0 or 1 is shown as 0 % or 100 %."""
    if not is_number(value):
        return MISSING
    return f"{round(100 * value) if value in (0, 1) else min(99, max(1, round(100 * value)))} %"


@register.filter
def seconds(value: Any) -> str:
    """Return a duration as text: 4.2 s, 3 min 20 s, 2 h 5 min."""
    if not is_number(value):
        return MISSING
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s"


@register.filter(name="bytes")
def in_bytes(value: Any) -> str:
    """Return a number of bytes in kB, MB, GB or TB."""
    if not is_number(value):
        return MISSING
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if abs(value) >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value / 1e3:,.0f} kB"


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
