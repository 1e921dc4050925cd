"""Fields that JSON can always hold."""

import math
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from quantum_trader.text import encodable


class Figure(serializers.FloatField):
    """Null where it is not finite, which JSON cannot say."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def to_representation(self, value: Any) -> Any:
        return finite(float(value))


@extend_schema_field({})
class StoredJSON(serializers.JSONField):
    """A JSON column as it stands, whatever that is, with null for what is not finite."""

    def to_representation(self, value: Any) -> Any:
        return finite(value)


@extend_schema_field({"type": "object", "additionalProperties": True})
class StoredObject(StoredJSON):
    pass


@extend_schema_field({"type": "array", "items": {"type": ["number", "null"]}})
class StoredFigures(StoredJSON):
    pass


def finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return encodable(value) if isinstance(value, str) else value
