"""Words of messages that depend on a number."""


def count_of(number: float, noun: str) -> str:
    """Return the number with its noun, rounded to a whole number: `1 bar`, `1,250 bars`."""
    written = f"{number:,.0f}"
    return f"{written} {noun if written == '1' else noun + 's'}"
