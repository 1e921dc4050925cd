"""The settings that bound what is stored."""

from quantum_trader.environment import values


def limits() -> tuple[int, ...]:
    """Return the limits in the order in which `quantum_trader/settings.py` names them."""
    return (
        # Published events are kept for this time, in the table and on their streams.
        values.whole_number("EVENT_RETENTION_DAYS", 30, 1, 36_500),
        # The bars of a run are kept for this time after its end, and for good if its version was live or compared.
        values.whole_number("BARS_RETENTION_DAYS", 30, 1, 36_500),
        # Within that time, only this many newest runs of each policy keep their bars. An hourly policy makes 720 in 30
        # days.
        values.whole_number("BARS_KEPT", 750, 1, 1_000_000),
        # The number of newest runs of each policy that keep their rows, and the number that keep curves, episode
        # rewards and tracebacks too. Counters and totals count removed runs as well. 30,000 runs a minute apart are 20
        # days.
        values.whole_number("RUNS_KEPT", 30_000, 1_000, 1_000_000_000),
        values.whole_number("RUN_DETAILS_KEPT", 2_000, 100, 1_000_000_000),
        # The history of each policy keeps this many of the newest changes of its settings.
        values.whole_number("SETTINGS_HISTORY_KEPT", 1_000, 10, 1_000_000),
        # Alerts are kept for this time after they were resolved.
        values.whole_number("ALERT_RETENTION_DAYS", 90, 1, 36_500),
        # The number of newest versions of each policy that keep their weights, and the days for which the last version
        # of each day keeps its weights. Versions that were live or compared always keep their weights.
        values.whole_number("VERSIONS_KEPT", 100, 1, 1_000_000),
        values.whole_number("VERSIONS_KEPT_DAILY_DAYS", 365, 0, 36_500),
    )
