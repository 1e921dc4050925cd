"""The time limits of heartbeats."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from quantum_trader.environment import values

# Each limit must be at least so many times the setting beside it, so that a heartbeat comes before the limit.
LIMITS = (
    ("RUN_LOST_AFTER_SECONDS", 3, "OWNER_HEARTBEAT_SECONDS"),
    ("RUN_LOST_AFTER_SECONDS", 3, "OWNER_TICK_SECONDS"),
    ("RUN_LOST_AFTER_SECONDS", 3, "POOL_HEARTBEAT_SECONDS"),
    ("BEAT_SILENT_AFTER_SECONDS", 3, "BEAT_TICK_SECONDS"),
    ("BEAT_HUNG_AFTER_SECONDS", 3, "BEAT_TICK_SECONDS"),
)


def silent_after() -> dict[str, float]:
    """Return for each kind of process the seconds without a heartbeat after which the process is reported."""
    # A worker and `decide` write a heartbeat every two seconds, `alerts` every ten. The least limits are three times as
    # long. Beat writes one at each tick, which BEAT_TICK_SECONDS sets.
    return {
        "beat": values.seconds("BEAT_SILENT_AFTER_SECONDS", 15),
        "worker": values.seconds("WORKER_SILENT_AFTER_SECONDS", 60, least=6),
        "alerts": values.seconds("ALERTS_SILENT_AFTER_SECONDS", 60, least=30),
        "decide": values.seconds("DECIDE_SILENT_AFTER_SECONDS", 60, least=6),
    }


def hung_after() -> dict[str, float]:
    """Return for each kind of process the seconds without a heartbeat after which `up` restarts the process."""
    # A worker writes no heartbeat while it waits for Redis, and a restart ends its running training.
    return {
        "beat": values.seconds("BEAT_HUNG_AFTER_SECONDS", 60),
        "worker": values.seconds("WORKER_HUNG_AFTER_SECONDS", 120, least=6),
        "alerts": values.seconds("ALERTS_HUNG_AFTER_SECONDS", 120, least=30),
        "decide": values.seconds("DECIDE_HUNG_AFTER_SECONDS", 120, least=6),
    }


def refuse_contradictions(settings: dict[str, Any]) -> None:
    """Raise `ImproperlyConfigured` for a limit so short that a healthy process would count as silent or lost."""
    known = settings | {f"{kind.upper()}_SILENT_AFTER_SECONDS": limit for kind, limit in silent_after().items()}
    known |= {f"{kind.upper()}_HUNG_AFTER_SECONDS": limit for kind, limit in hung_after().items()}
    for limit, times, other in LIMITS:
        if known[limit] < times * known[other]:
            raise ImproperlyConfigured(
                f"{limit} is {known[limit]:g} and {other} is {known[other]:g}; the first must be at least {times} "
                "times the second."
            )
