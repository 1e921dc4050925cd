"""JSON objects that users and programs send, parsed more strictly than by Python's parser."""

import json
from typing import Any

from django.core.exceptions import ValidationError

# A config has some dozens of short settings.
MAX_CHARACTERS = 64_000


class DuplicateKeyError(ValueError):
    """An object has the same key twice, so one of its values would be lost."""


def parse_object(text: Any, max_characters: int = MAX_CHARACTERS) -> dict[str, Any]:
    """Return the JSON object that `text` holds.

    Raises Django's `ValidationError` on anything else, on duplicate keys, NaN, infinity and lone surrogates, and on
    more than `max_characters`.
    """
    if not isinstance(text, str) or not text.strip():
        raise ValidationError("Required: a JSON object with the settings.", code="required")
    if len(text) > max_characters:
        raise ValidationError(f"{len(text):,} characters; at most {max_characters:,} are taken.", code="too_long")
    try:
        value = json.loads(text, object_pairs_hook=without_duplicates, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValidationError("Text that no encoding can hold: half of a surrogate pair.", code="invalid") from None
    except RecursionError:
        raise ValidationError("Nested too deeply; settings are at most lists of values.", code="invalid") from None
    except ValueError as error:
        raise ValidationError(f"Not valid JSON: {error}", code="invalid") from None
    if not isinstance(value, dict):
        raise ValidationError("Must be a JSON object with the settings.", code="invalid")
    return value


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, given as its pairs. Raises `DuplicateKeyError`."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise DuplicateKeyError(f"{key}: given more than once")
        found[key] = value
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
