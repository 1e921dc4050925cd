"""Names of policies in addresses: any text that a row may hold, so that no stored name can break a page."""

from urllib.parse import quote, unquote


class PolicyName:
    """A usual name stands as it is; of another one, what has a meaning in an address is quoted."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        name = unquote(value)
        if "\0" in name:
            raise ValueError("no name holds NUL")
        return name

    def to_url(self, value: str) -> str:
        return quote(value, safe="")
