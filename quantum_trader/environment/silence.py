"""The time limits of heartbeats."""

from quantum_trader.environment import values


def silent_after() -> dict[str, float]:
    """Return for each kind of process the seconds without a heartbeat after which it is reported."""
    # Beat writes a heartbeat every second, workers every two.
    return {
        "beat": values.seconds("BEAT_SILENT_AFTER_SECONDS", 15),
        "worker": values.seconds("WORKER_SILENT_AFTER_SECONDS", 60),
        "alerts": values.seconds("ALERTS_SILENT_AFTER_SECONDS", 60),
        "decide": values.seconds("DECIDE_SILENT_AFTER_SECONDS", 60),
    }


def hung_after() -> dict[str, float]:
    """Return for each kind of process the seconds without a heartbeat after which `up` restarts it."""
    # A worker writes no heartbeat while it waits for Redis, and a restart ends its running training.
    return {
        "beat": values.seconds("BEAT_HUNG_AFTER_SECONDS", 60),
        "worker": values.seconds("WORKER_HUNG_AFTER_SECONDS", 120),
        "alerts": values.seconds("ALERTS_HUNG_AFTER_SECONDS", 120),
        "decide": values.seconds("DECIDE_HUNG_AFTER_SECONDS", 120),
    }
