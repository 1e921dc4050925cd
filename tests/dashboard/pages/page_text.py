"""The text of a page without its tags."""

import re


def words(html: str) -> str:
    """Return the text between the tags of a page's body, without its header, in single spaces."""
    body = re.sub(r"<(head|header)>.*?</\1>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())
