"""Options that each kind of database needs besides its URL."""

import re
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

# Options of a PostgreSQL URL that Django reads, in upper or lower case, with the types of their values.
OF_DJANGO = {
    "CONN_MAX_AGE": (int, type(None)),
    "CONN_HEALTH_CHECKS": (bool,),
    "ATOMIC_REQUESTS": (bool,),
    "AUTOCOMMIT": (bool,),
    "DISABLE_SERVER_SIDE_CURSORS": (bool,),
}
WHOLE_NUMBERS = (
    "connect_timeout",
    "tcp_user_timeout",
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
)
WORDS = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    "gssencmode": ("disable", "prefer", "require"),
    "channel_binding": ("disable", "prefer", "require"),
}


def wrong_option(options: dict[str, str], config: dict[str, Any]) -> str:
    """Describe the first option of a PostgreSQL URL that would be refused or misread later; empty if all are right.

    `config` is Django's database config of the URL.
    """
    for name, written in options.items():
        if types := OF_DJANGO.get(name.upper()):
            if not isinstance(config.get(name.upper()), types):
                return f"{name} must be a whole number" if int in types else f"{name} must be True or False"
        elif not _is_known(name):
            return f"there is no option {name}"
        elif not written:
            return f"{name} has no value"
        elif name in WHOLE_NUMBERS and not re.fullmatch("[0-9]{1,9}", written):
            return f"{name} must be a whole number"
        elif name in WORDS and written not in WORDS[name]:
            return f"{name} must be one of {', '.join(WORDS[name])}"
    return ""


def _is_known(name: str) -> bool:
    # Processes that use SQLite do not load the client of PostgreSQL.
    from psycopg.conninfo import make_conninfo
    from psycopg.errors import ProgrammingError

    try:
        make_conninfo(**{name: ""})
    except ProgrammingError:
        return False
    return True


def with_options(config: dict[str, Any]) -> dict[str, Any]:
    """Return a database of Django's settings with its options. Options of a PostgreSQL URL take precedence."""
    if config["ENGINE"] == "django.db.backends.postgresql":
        return config | {"OPTIONS": POSTGRESQL | config.get("OPTIONS", {})}
    return config | {"OPTIONS": SQLITE} if config["ENGINE"] == "django.db.backends.sqlite3" else config
