"""The text of a page without its tags, and its Content-Security-Policy."""

import re
from typing import Any

NONE = ("default-src", "base-uri", "frame-ancestors")
OWN = ("script-src", "style-src", "img-src", "connect-src", "form-action")
STRICT = dict.fromkeys(NONE, "'none'") | dict.fromkeys(OWN, "'self'")


def words(html: str) -> str:
    """Return the text between the tags of a page's body, without its header, in single spaces."""
    body = re.sub(r"<(head|header)>.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def directives(response: Any) -> dict[str, str]:
    """Return the directives of the Content-Security-Policy of a response."""
    parts = (part.split(maxsplit=1) for part in response.headers["Content-Security-Policy"].split(";"))
    return {part[0]: part[1] for part in parts}
