"""Text that other programs accept."""


def encodable(text: str) -> str:
    """Return the text with lone surrogates as escapes (`\\udcff`), so that it can be sent as UTF-8.

    JSON may hold half of a surrogate pair, and Python reads bytes that are no UTF-8 as lone surrogates.
    """
    return text.encode(errors="backslashreplace").decode()


def storable(text: str) -> str:
    """Return the text as every database stores it: encodable, and with NUL as an escape (`\\x00`) for PostgreSQL."""
    return encodable(text).replace("\0", r"\x00")
