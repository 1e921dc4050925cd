"""Policy names in URLs. A stored name may be any text, and its URL must work."""

from urllib.parse import quote, unquote


class PolicyName:
    """A URL converter that percent-encodes the characters of a policy name that have a meaning in URLs."""

    regex = "[^/]+"

    def to_python(self, value: str) -> str:
        name = unquote(value)
        if "\0" in name:
            raise ValueError("no name holds NUL")
        return name

    def to_url(self, value: str) -> str:
        return quote(value, safe="")
