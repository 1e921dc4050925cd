"""The invariants of the slot ledger, read by SQL from the database of a test or of a running system."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from django.db import connection

Row = dict[str, Any]

# Each check is one statement, because the schedule may continue meanwhile.
RANGES = """
    SELECT slots.*, policies.next_run_at, runs.scheduled_for
    FROM rl_training_slotrange AS slots
    JOIN rl_training_policystore AS policies ON policies.id = slots.policy_id
    LEFT JOIN rl_training_trainingrun AS runs ON runs.id = slots.run_id
    ORDER BY slots.id
"""
RUNS_WITHOUT_SLOT = """
    SELECT run_id, scheduled_for FROM rl_training_trainingrun AS runs
    WHERE scheduled_for IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM rl_training_slotrange WHERE outcome = 'ran' AND run_id = runs.id)
"""


def time_of(value: Any) -> datetime:
    """Return a timestamp that SQL has read; SQLite stores it as text in UTC."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def unaccounted(query: Callable[[str], list[Row]]) -> list[str]:
    """Return descriptions of slots that are not accounted for exactly once."""
    found = [f"run {run['run_id']} of a slot is not in the ledger" for run in query(RUNS_WITHOUT_SLOT)]
    ledgers: dict[int, list[Row]] = defaultdict(list)
    for row in query(RANGES):
        ledgers[row["policy_id"]].append(row)
    return found + [error for ledger in ledgers.values() for error in _errors(ledger)]


def unaccounted_in_test() -> list[str]:
    """Return the result of `unaccounted` for the database of the test."""

    def query(statement: str) -> list[Row]:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    return unaccounted(query)


def _errors(ledger: list[Row]) -> Iterator[str]:
    """Yield the errors in the ranges of one policy, the first range first."""
    counts = Counter[datetime]()
    for row in ledger:
        interval = timedelta(minutes=row["interval_minutes"])
        slots = [time_of(row["first_slot"]) + number * interval for number in range(row["slots"])]
        counts.update(slots)
        if slots[-1] != time_of(row["last_slot"]):
            yield f"range {row['id']} ends at {row['last_slot']}, not {slots[-1]}"
        if time_of(row["next_slot"]) > slots[-1] + interval:
            yield f"slots are missing between range {row['id']} and {row['next_slot']}"
        if row["outcome"] == "ran" and time_of(row["scheduled_for"]) != slots[0]:
            yield f"range {row['id']} has the run of {row['scheduled_for']}"
    for row, following in pairwise(ledger):
        if time_of(row["next_slot"]) != time_of(following["first_slot"]):
            yield f"range {following['id']} does not begin at {row['next_slot']}, where {row['id']} ends"
    if time_of(ledger[-1]["next_slot"]) != time_of(ledger[-1]["next_run_at"]):
        yield f"range {ledger[-1]['id']} ends at {ledger[-1]['next_slot']}, not {ledger[-1]['next_run_at']}"
    yield from (f"slot {slot} is {count} times in the ledger" for slot, count in counts.items() if count > 1)
