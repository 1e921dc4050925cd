"""The rows of all tables as lines of JSON, which any database that Django supports can store."""

import base64
import json
import uuid
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader

from rl_training.models.config_column import ConfigColumn

# Sessions are left out, so users must log in again after a restore.
LEFT_OUT = {"sessions.Session"}
# The number of rows that one statement reads or stores.
BATCH = 500


def tables() -> list[type[models.Model]]:
    """Return the models whose rows a backup holds, each with its own table."""
    found = apps.get_models(include_auto_created=True)
    return [
        model for model in found if model._meta.managed and not model._meta.proxy and model._meta.label not in LEFT_OUT
    ]


def migrations() -> set[str]:
    """Return the names of this release's migrations, without squashed migrations, which replace others."""
    on_disk = MigrationLoader(None).disk_migrations
    return {f"{app}.{name}" for (app, name), migration in on_disk.items() if not migration.replaces}


def columns(model: type[models.Model]) -> list[Any]:
    """Return the fields of a model that are columns of its table."""
    return [field for field in model._meta.local_concrete_fields if not field.generated]


def dump(model: type[models.Model]) -> Iterator[bytes]:
    """Yield each row of the table as a line, a list of its columns' values in the order of columns()."""
    names = [field.attname for field in columns(model)]
    rows = model._base_manager.order_by("pk").values_list(*names)
    for row in rows.iterator(BATCH):
        yield json.dumps(row, default=_as_json, separators=(",", ":")).encode() + b"\n"


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError(f"a backup cannot hold a value of the type {type(value)}")


def load(model: type[models.Model], names: list[str], lines: Iterable[bytes]) -> int:
    """Store rows that dump() has written, with the columns `names`; return their number."""
    fields = {field.attname: field for field in columns(model)}
    quote = connection.ops.quote_name
    into = ", ".join(quote(fields[name].column) for name in names)
    values = ", ".join(["%s"] * len(names))
    statement = f"INSERT INTO {quote(model._meta.db_table)} ({into}) VALUES ({values})"  # noqa: S608 - names of tables
    number, batch = 0, []
    with connection.cursor() as cursor:
        for line in lines:
            row = zip(names, json.loads(line), strict=True)
            batch.append([_stored(fields[name], value) for name, value in row])
            if len(batch) == BATCH:
                cursor.executemany(statement, batch)
                number, batch = number + len(batch), []
        if batch:
            cursor.executemany(statement, batch)
    return number + len(batch)


def _stored(field: Any, value: Any) -> Any:
    """Return a value of a line in the form that the database stores."""
    if isinstance(field, ConfigColumn):
        # The JSON text as it was stored, whether the present models accept it or not.
        return value
    if value is not None:
        value = field.to_python(value)
    return field.get_db_prep_save(value, connection=connection)


def empty() -> None:
    """Remove the rows that migrations have inserted."""
    names = [model._meta.db_table for model in tables()]
    for statement in connection.ops.sql_flush(no_style(), names):
        with connection.cursor() as cursor:
            cursor.execute(statement)


def reset_sequences() -> None:
    """Let new rows get ids after those of the stored ones."""
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), tables()):
            cursor.execute(statement)
