"""What each kind of database needs besides its URL."""

from typing import Any

POSTGRESQL = {
    # A server that is down, slow or unreachable causes an error within seconds.
    "connect_timeout": 5,
    # The server ends the transactions of a suspended or lost client, because their locks block other clients.
    "options": "-c statement_timeout=30s -c idle_in_transaction_session_timeout=20s "
    "-c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3",
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}
SQLITE = {
    # With WAL, readers and a writer do not block each other. With IMMEDIATE, a transaction takes the write lock at its
    # start and waits up to `timeout`; otherwise it could fail in the middle without waiting.
    "init_command": "PRAGMA journal_mode=WAL",
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
}


def with_options(config: dict[str, Any]) -> dict[str, Any]:
    """Return a database of Django's settings with its options. Those of a PostgreSQL's URL take precedence."""
    if config["ENGINE"] == "django.db.backends.postgresql":
        return config | {"OPTIONS": POSTGRESQL | config.get("OPTIONS", {})}
    return config | {"OPTIONS": SQLITE} if config["ENGINE"] == "django.db.backends.sqlite3" else config
