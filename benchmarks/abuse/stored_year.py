"""Measures what a year of one policy that trains each minute leaves, at a twentieth of its scale, on one database.

`python -m benchmarks.abuse.stored_year` measures on the database that the environment names, and prints JSON.

Each limit of retention is a twentieth of its default. TURNS times as many runs are stored as are kept, so that removed
rows leave free space in tables and indexes; further runs would only replace others. The space at the end, times twenty,
is the space of one policy. Rows and files have the sizes of a run with default settings, which is trained once. First,
SAMPLE runs show the space of one run, before anything is removed.
"""

import json
import secrets
import shutil
import sys
import tempfile
import time
import uuid
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import django
import psutil
from django.conf import settings

SCALE, POLICIES, TURNS = 20, 100, 4
# Enough runs that the first pages of tables and indexes have little weight.
SAMPLE = 1000
# Housekeeping starts after this many runs, and continues until it finds nothing. PostgreSQL vacuums a table when a
# fifth of its rows are dead, which is about as often.
RUNS_AT_ONCE = 150
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
SPACING = timedelta(minutes=SCALE)
LIMITS = ("RUNS_KEPT", "RUN_DETAILS_KEPT", "VERSIONS_KEPT", "VERSIONS_KEPT_DAILY_DAYS", "BARS_KEPT")


def measured() -> dict[str, float]:
    """Return bytes and seconds for one policy at full scale, unless a name says otherwise."""
    from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
    from rl_training.storage import usage

    for name in LIMITS:
        setattr(settings, name, max(1, getattr(settings, name) // SCALE))
    policy = PolicyStore.objects.get(name="rl_v3")
    run, evaluation, artifact = trained(policy)
    empty = usage.database_bytes()
    store(policy, run, evaluation, artifact, range(SAMPLE))
    bytes_of_a_run = (usage.database_bytes() - empty) / SAMPLE
    remove_all()
    empty, seconds, number = usage.database_bytes(), 0.0, TURNS * settings.RUNS_KEPT
    for first, end in pairwise([*range(0, number, RUNS_AT_ONCE), number]):
        store(policy, run, evaluation, artifact, range(first, end))
        started = processor_seconds()
        keep_house(BEGINNING + SPACING * end)
        seconds += processor_seconds() - started
        vacuum("VACUUM")
    files = usage.folder_bytes(Path(settings.ARTIFACT_ROOT))
    return {
        "database_bytes": SCALE * float(usage.database_bytes() - empty),
        "file_bytes": SCALE * float(files),
        "bytes_of_a_run": bytes_of_a_run,
        "runs": float(policy.runs.count()),
        "weights": float(PolicyVersion.objects.with_weights().count()),
        "removed_details": float(TrainingRun.objects.filter(curve=None).count()),
        "seconds_for_a_run": seconds / number,
    }


def remove_all() -> None:
    """Remove the runs of the sample with all that belongs to them, and their space."""
    from rl_training.models import PolicyVersion, SlotRange, TrainingEvent, TrainingRun

    for model in (SlotRange, TrainingEvent, PolicyVersion, TrainingRun):
        model._base_manager.all()._raw_delete("default")
    shutil.rmtree(settings.ARTIFACT_ROOT)
    vacuum("VACUUM FULL", sqlite="VACUUM")
    vacuum("VACUUM")


def vacuum(statement: str, sqlite: str = "") -> None:
    """Free the space of removed rows, as PostgreSQL does by itself, but too slowly for the rows of this benchmark."""
    from django.db import connection

    with connection.cursor() as cursor:
        if found := statement if connection.vendor == "postgresql" else sqlite:
            cursor.execute(found)


def processor_seconds() -> float:
    """Return the processor seconds of this process, and of the server process that works for it."""
    from django.db import connection

    own = time.process_time()
    if connection.vendor != "postgresql":
        return own
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    times = psutil.Process(pid).cpu_times()
    return own + float(times.user + times.system)


def trained(policy: Any) -> tuple[dict[str, Any], dict[str, Any], Path]:
    """Train a run of the policy; return its columns, its stored evaluation, and the folder of its files."""
    from rl_training.core.evaluation.equity_curves import thinned
    from rl_training.core.market.sources import load_market
    from rl_training.core.run import training
    from rl_training.core.run.computing_environment import computing_environment

    config = policy.training_config(episodes=policy.episodes_per_run)
    folder = Path(tempfile.mkdtemp(dir=settings.STATE_DIR))
    logs = folder / "logs"
    result = training.train(config, load_market(config.market), log_dir=logs, threads=1)
    result.save(folder / "policy", run_id="0" * 12, policy=policy.name)
    shutil.copytree(logs, folder / "policy", dirs_exist_ok=True)
    columns = {
        "config": config.model_dump(mode="json"),
        "market_summary": result.market_summary,
        "computing_environment": computing_environment(config, 1),
        "episode_rewards": result.episode_rewards,
        "curve": result.curve,
        "environment_steps": result.environment_steps,
        "avg_reward": result.avg_reward,
        "recipe": secrets.token_hex(32),
        "bars_digest": secrets.token_hex(32),
    }
    return columns, thinned(result.stored_evaluation), folder / "policy"


def store(policy: Any, run: dict[str, Any], evaluation: dict[str, Any], artifact: Path, numbers: range) -> None:
    """Store runs with all that a successful scheduled run leaves."""
    from rl_training.models import PolicyVersion, SlotRange, TrainingEvent, TrainingRun
    from rl_training.models.version_results import results_of

    at = {number: BEGINNING + SPACING * number for number in numbers}
    runs = [
        TrainingRun(
            policy=policy,
            status="succeeded",
            trigger="schedule",
            episodes=2,
            attempt=1,
            duration_seconds=2.0,
            scheduled_for=time_,
            queued_at=time_,
            started_at=time_,
            finished_at=time_,
            **run,
        )
        for time_ in at.values()
    ]
    TrainingRun.objects.bulk_create(runs)
    versions, events, slots = [], [], []
    for number, stored in zip(numbers, runs, strict=True):
        name = f"{policy.name}/{stored.run_id}-1"
        shutil.copytree(artifact, Path(settings.ARTIFACT_ROOT) / name)
        sha256 = secrets.token_hex(32)
        columns: dict[str, Any] = {"artifact": name, "sha256": sha256, "evaluation": evaluation, "market": "sp500"}
        columns |= results_of(evaluation)
        versions.append(PolicyVersion(policy=policy, number=number + 1, run=stored, created_at=at[number], **columns))
        payload = {"run_id": stored.run_id, "policy": policy.name, "episodes": 2, "artifact": name, "sha256": sha256}
        events += [
            TrainingEvent(
                event_id=uuid.uuid4(),
                event_type=f"{policy.name}.training.{kind}",
                run=stored,
                timestamp=at[number],
                published_at=at[number],
                payload=payload,
            )
            for kind in ("started", "completed")
        ]
        slot = {"first_slot": at[number], "last_slot": at[number], "next_slot": at[number] + SPACING}
        slots.append(
            SlotRange(
                policy=policy, slots=1, interval_minutes=SCALE, outcome="ran", run=stored, lateness_seconds=0.1, **slot
            )
        )
    PolicyVersion.objects.bulk_create(versions)
    TrainingEvent.objects.bulk_create(events)
    SlotRange.objects.bulk_create(slots)


def keep_house(now: datetime) -> None:
    """Do the housekeeping that removes rows and files until it finds nothing more."""
    from rl_training.storage import run_retention
    from rl_training.streams import retention
    from rl_training.versions import weights_retention

    while retention.purge(now) + weights_retention.remove_old(now) + sum(run_retention.remove_old()):
        continue


def main() -> None:
    django.setup()
    sys.stdout.write(json.dumps(measured()) + "\n")


if __name__ == "__main__":
    main()
