"""The settings that bound what is stored."""

from quantum_trader.environment import values


def limits() -> tuple[int, ...]:
    """Return the limits in the order in which `quantum_trader/settings.py` names them."""
    return (
        # Published events are kept for this time, in the table and on their streams.
        values.whole_number("EVENT_RETENTION_DAYS", 30, 1, 36_500),
        # The bars of a run are kept for this time after its end, and for good if its version was live or compared.
        values.whole_number("BARS_RETENTION_DAYS", 30, 1, 36_500),
        # Of those, the bars of so many newest runs of each policy: an hourly policy makes 720 in 30 days.
        values.whole_number("BARS_KEPT", 750, 1, 1_000_000),
        # The newest runs of each policy that keep their rows, and those of them that keep curves, episode rewards and
        # tracebacks too. Counters and totals count removed runs as well. At one-minute intervals, 30,000 are 20 days.
        values.whole_number("RUNS_KEPT", 30_000, 1_000, 1_000_000_000),
        values.whole_number("RUN_DETAILS_KEPT", 2_000, 100, 1_000_000_000),
        # The newest changes of the settings of each policy that its history keeps.
        values.whole_number("SETTINGS_HISTORY_KEPT", 1_000, 10, 1_000_000),
        # Alerts are kept for this time after they were resolved.
        values.whole_number("ALERT_RETENTION_DAYS", 90, 1, 36_500),
        # Versions that keep their weights: the newest of each policy, and one a day; live and compared ones too.
        values.whole_number("VERSIONS_KEPT", 100, 1, 1_000_000),
        values.whole_number("VERSIONS_KEPT_DAILY_DAYS", 365, 0, 36_500),
    )
