"""Parsing of request bodies."""

from typing import Any

from django.core.exceptions import ValidationError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from dashboard.api.protocol.problem_details import TooLarge
from rl_training.strict_json import MAX_CHARACTERS, parse_object


class StrictJSONParser(BaseParser):
    """Parses a JSON object in UTF-8 of at most `MAX_CHARACTERS` bytes; refuses duplicate keys, NaN and infinity."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> dict[str, Any]:
        body = stream.read(MAX_CHARACTERS + 1)
        if len(body) > MAX_CHARACTERS:
            raise TooLarge(f"The body is too large; at most {MAX_CHARACTERS:,} bytes are accepted.")
        try:
            return parse_object(body.decode())
        except UnicodeDecodeError as error:
            raise ParseError(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
        except ValidationError as error:
            raise ParseError(" ".join(error.messages)) from None
