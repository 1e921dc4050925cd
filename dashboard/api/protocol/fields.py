"""Serializer fields that replace values that JSON cannot hold."""

import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from quantum_trader.text import encodable


class FiniteFloat(serializers.FloatField):
    """A float, or null for NaN and infinity, which JSON does not have."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def to_representation(self, value: Any) -> Any:
        return finite(float(value))


@extend_schema_field({})
class StoredJSON(serializers.JSONField):
    """A JSON column as it is stored, with null for NaN and infinity.

    The stored value may have any form, because other programs may have written it without validation.
    """

    def to_representation(self, value: Any) -> Any:
        return finite(value)


@extend_schema_field({"type": "object", "additionalProperties": True})
class StoredObject(StoredJSON):
    """A JSON column that holds an object."""


@extend_schema_field({"type": "array", "items": {"type": ["number", "null"]}})
class StoredNumbers(StoredJSON):
    """A JSON column that holds a list of numbers."""


def finite(value: Any) -> Any:
    """Return `value` with null for each number in it that is not finite, and with text that UTF-8 can encode."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return encodable(value) if isinstance(value, str) else value
