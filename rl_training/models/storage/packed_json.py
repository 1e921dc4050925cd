"""A column of JSON values that are stored compressed."""

import json
import zlib
from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from rl_training.models.storage.packing_words import WORDS

# The first byte of a compressed value. JSON as text begins with another byte.
COMPRESSED = b"\x78"


def pack(value: Any) -> bytes:
    """Return the value as JSON, compressed where that is shorter."""
    text = json.dumps(value, separators=(",", ":")).encode()
    compressor = zlib.compressobj(9, zdict=WORDS)
    return min(text, compressor.compress(text) + compressor.flush(), key=len)


def unpack(stored: bytes | str) -> Any:
    """Return the value that pack(), or an older release with or without WORDS, has stored."""
    if isinstance(stored, str):
        return json.loads(stored)
    data = bytes(stored)
    return json.loads(zlib.decompressobj(zdict=WORDS).decompress(data) if data.startswith(COMPRESSED) else data)


class PackedJSONField(models.BinaryField):  # type: ignore[type-arg]  # it has none at run time
    """A JSON value that no query looks into. It takes a sixth of the space of a JSON column.

    Rows of older releases, which hold text, stay as they are and are read as before.
    """

    empty_strings_allowed = False

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if value is None else unpack(value)

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else pack(value)

    def to_python(self, value: Any) -> Any:
        return value

    def value_to_string(self, obj: models.Model) -> Any:
        return self.value_from_object(obj)


class PackJSONColumn(migrations.AlterField):
    """Changes a JSON column to a PackedJSONField. The rows keep their text.

    The operation can be reversed only before a value was stored compressed.
    """

    def _alter(self, app_label: str, editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any) -> bool:
        """Alter the column of PostgreSQL, which does not cast JSON to bytes by itself; return whether it did."""
        if editor.connection.vendor != "postgresql":
            return False
        old, new = (
            state.apps.get_model(app_label, self.model_name)._meta.get_field(self.name)
            for state in (from_state, to_state)
        )
        table, column = (editor.quote_name(name) for name in (new.model._meta.db_table, new.column))
        was, becomes = old.db_type(editor.connection), new.db_type(editor.connection)
        to_bytes, to_json = f"convert_to({column}::text, 'UTF8')", f"convert_from({column}, 'UTF8')::jsonb"
        value = to_bytes if becomes == "bytea" else to_json
        if was != becomes:
            editor.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE {becomes} USING {value}")
        return True

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if not self._alter(app_label, schema_editor, from_state, to_state):
            super().database_forwards(app_label, schema_editor, from_state, to_state)
