"""Text that other programs accept, and numbers in text."""

# The largest number of a database column.
LAST_NUMBER = 2**63 - 1


def encodable(text: str) -> str:
    """Return the text with lone surrogates as escapes (`\\udcff`), so that it can be sent as UTF-8.

    JSON may hold half of a surrogate pair, and Python reads bytes that are no UTF-8 as lone surrogates.
    """
    return text.encode(errors="backslashreplace").decode()


def storable(text: str) -> str:
    """Return the text as every database stores it: encodable, and with NUL as an escape (`\\x00`) for PostgreSQL."""
    return encodable(text).replace("\0", r"\x00")


def parse_whole_number(text: str) -> int | None:
    """Return the number that ASCII digits write; None for other text and for numbers that no database column holds."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LAST_NUMBER))):
        return None
    number = int(text)
    return number if number <= LAST_NUMBER else None
