"""`python -m tests.storage.every_table`: stores a row in each empty table of the database that the environment names.

The values have types that databases store in different ways: microseconds, long integers, bytes, JSON, other scripts.
"""

import uuid
from datetime import UTC, date, datetime, timedelta
from typing import Any

import django
from django.db import models

django.setup()


from rl_training.models.storage.packed_json import PackedJSONField  # noqa: E402
from rl_training.storage.backup import rows  # noqa: E402

HOUR = timedelta(hours=1)
TIME = datetime(2026, 3, 29, 1, 59, 59, 123456, UTC)
# The first of these types that fits a field gives its value.
JSON = {"list": [0.1, None, "Zürich 中"], "2": -1.5e-7}
VALUES: tuple[tuple[type[Any], Any], ...] = (
    (PackedJSONField, JSON),
    (models.DateTimeField, TIME),
    (models.DateField, date(2026, 3, 29)),
    (models.DurationField, timedelta(seconds=1.5)),
    (models.UUIDField, uuid.UUID(int=7)),
    (models.FloatField, 0.1),
    (models.BooleanField, True),
    (models.BigIntegerField, 2**40 + 1),
    (models.IntegerField, 2),
    (models.BinaryField, b"\x00\xff"),
    (models.JSONField, JSON),
)
# Values that the constraints of a table require. FIRST is the first row of the related table.
FIRST = object()
FITTING: dict[str, dict[str, Any]] = {
    "SlotRange": {"outcome": "coalesced", "reason": "missed", "run": FIRST, "first_slot": TIME - HOUR},
    "Arm": {"kind": "flat"},
    "ArmComparison": {"a_id": 1, "b_id": 2, "ended_at": None},
    "TrainingEvent": {"run": FIRST},
    "Validation": {"trial": FIRST},
    # The row has no files, which a backup would look for.
    "PolicyVersion": {"artifact": ""},
    "AlertRule_channels": {"alertrule": FIRST},
}


def fill() -> None:
    """Store a row in each table that has none. The rows that others refer to come first."""
    waiting = [model for model in rows.tables() if not model._base_manager.exists()]
    while waiting:
        model = next(model for model in waiting if not any(needed in waiting for needed in required(model)))
        number = 2 if model.__name__ == "Arm" else 1
        model._base_manager.bulk_create([model(**values_of(model)) for _ in range(number)])
        waiting.remove(model)


def required(model: type[models.Model]) -> list[Any]:
    fields = [field for field in rows.columns(model) if field.is_relation]
    return [field.related_model for field in fields if not field.null or field.name in FITTING.get(model.__name__, {})]


def values_of(model: type[models.Model]) -> dict[str, Any]:
    own = FITTING.get(model.__name__, {})
    fields = [field for field in rows.columns(model) if not field.has_default()]
    found = {
        field.name: value_of(field, field.name in own) for field in fields if not isinstance(field, models.AutoField)
    }
    return found | {name: value for name, value in own.items() if value is not FIRST}


def value_of(field: Any, needed: bool) -> Any:
    if field.is_relation:
        return None if field.null and not needed else field.related_model._base_manager.first()
    if field.choices:
        return field.choices[0][0]
    found = [value for kind, value in VALUES if isinstance(field, kind)]
    return found[0] if found else "Zürich 中 \u2028 '"[: field.max_length]


if __name__ == "__main__":
    fill()
