"""Many stored runs, and the database's plans to read them, for tests of query plans."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from rl_training.models import PolicyStore, TrainingRun

FINISHED = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)


def finished_run(policy: PolicyStore, minutes: int = 0, **columns: Any) -> TrainingRun:
    """Return an unsaved run that finished `minutes` after FINISHED."""
    finished = FINISHED + timedelta(minutes=minutes)
    columns = {
        "status": "succeeded",
        "trigger": "schedule",
        "episodes": 2,
        "config": {},
        "finished_at": finished,
    } | columns
    return TrainingRun(policy=policy, queued_at=finished, **columns)


def store_100_000_runs(policy: PolicyStore) -> None:
    """Store 1,000 runs, and 99 copies of each that the database itself makes."""
    TrainingRun.objects.bulk_create([finished_run(policy, minutes) for minutes in range(1000)])
    copied = ", ".join(
        str(field.column) for field in TrainingRun._meta.concrete_fields if field.name not in ("id", "run_id")
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE copies(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM copies WHERE number < 99) "
            f"INSERT INTO rl_training_trainingrun (run_id, {copied}) "
            f"SELECT CAST(number * 1000000 + id AS varchar(12)), {copied} "
            "FROM copies CROSS JOIN rl_training_trainingrun"
        )
        cursor.execute("ANALYZE rl_training_trainingrun")
    assert TrainingRun.objects.count() == 100_000


def steps_of_plan(sql: str) -> list[str]:
    """Return how the database reads each table, for example `Index Scan rl_training_trainingrun run_finished`."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            return [row[3] for row in cursor.fetchall()]
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        plan = cursor.fetchone()[0]
    pending = [(json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]]
    steps = []
    while pending:
        node = pending.pop()
        pending += node.get("Plans", [])
        steps.append(" ".join(node.get(key, "") for key in ("Node Type", "Relation Name", "Index Name")))
    return [step for step in steps if "Scan" in step]
