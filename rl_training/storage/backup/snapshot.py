"""A connection that sees the database as it was at one time, while others go on writing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, transaction


@contextmanager
def snapshot() -> Iterator[None]:
    """Let all statements of this thread see the database as it was at the first statement. Blocks no writer."""
    usual, other = connections["default"], connections.create_connection("default")
    settings = usual.settings_dict
    # A transaction of SQLite that writes nothing must not take the write lock.
    options: dict[str, Any] = {"transaction_mode": "DEFERRED"}
    if usual.vendor == "postgresql":
        import psycopg  # only with PostgreSQL

        # A large table takes longer to read than any other statement may.
        limits = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
        options = {"isolation_level": psycopg.IsolationLevel.REPEATABLE_READ, "options": limits}
    other.settings_dict = {**settings, "OPTIONS": {**settings["OPTIONS"], **options}}
    connections["default"] = other
    try:
        with transaction.atomic():
            yield
    finally:
        connections["default"] = usual
        other.close()
