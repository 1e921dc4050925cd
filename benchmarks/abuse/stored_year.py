"""A year of one policy that trains each minute, at a hundredth of its scale, on one database.

`python -m benchmarks.abuse.stored_year` measures it on the database that the environment names, and prints JSON.

Each limit of retention is a hundredth of its default, and the runs are a hundredth of a year's. What is stored at the
end, times a hundred, is what one policy stores. Rows and files have the sizes of a run with default settings, which is
trained once.
"""

import json
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
from django.conf import settings

SCALE, POLICIES = 100, 100
RUNS = 525_600 // SCALE
# Housekeeping comes after so many runs; it goes on until it finds nothing.
RUNS_AT_ONCE = 30
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
SPACING = timedelta(minutes=SCALE)
LIMITS = ("RUNS_KEPT", "RUN_DETAILS_KEPT", "VERSIONS_KEPT", "VERSIONS_KEPT_DAILY_DAYS", "BARS_KEPT")


def measured() -> dict[str, float]:
    """Return bytes and seconds, for one policy at full scale unless the name says otherwise."""
    from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
    from rl_training.storage import usage

    for name in LIMITS:
        setattr(settings, name, max(1, getattr(settings, name) // SCALE))
    policy = PolicyStore.objects.get(name="rl_v3")
    run, evaluation, artifact = trained(policy)
    empty = usage.database_bytes()
    seconds, first_bytes = 0.0, 0.0
    # As many as are kept come first, so that the first pages of tables and indexes do not count much.
    borders = [0, *range(settings.RUNS_KEPT, RUNS, RUNS_AT_ONCE), RUNS]
    for first, end in pairwise(borders):
        numbers = range(first, end)
        store(policy, run, evaluation, artifact, numbers)
        first_bytes = first_bytes or (usage.database_bytes() - empty) / len(numbers)
        started = time.perf_counter()
        keep_house(BEGINNING + SPACING * (numbers[-1] + 1))
        seconds += time.perf_counter() - started
        vacuum()
    counted = policy.runs.count(), PolicyVersion.objects.with_weights().count()
    files = usage.folder_bytes(Path(settings.ARTIFACT_ROOT))
    return {
        "database_bytes": SCALE * float(usage.database_bytes() - empty),
        "file_bytes": SCALE * float(files),
        "bytes_of_a_run": first_bytes,
        "runs": float(counted[0]),
        "weights": float(counted[1]),
        "removed_details": float(TrainingRun.objects.filter(curve=None).count()),
        "seconds_for_a_run": seconds / RUNS,
    }


def vacuum() -> None:
    """Free the space of removed rows for new ones, as PostgreSQL does by itself, but not as fast as rows come here."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")


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
        "recipe": "0" * 64,
        "bars_digest": "0" * 64,
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
        columns: dict[str, Any] = {"artifact": name, "sha256": "0" * 64, "evaluation": evaluation, "market": "sp500"}
        columns |= results_of(evaluation)
        versions.append(PolicyVersion(policy=policy, number=number + 1, run=stored, created_at=at[number], **columns))
        payload = {"run_id": stored.run_id, "policy": policy.name, "episodes": 2, "artifact": name, "sha256": "0" * 64}
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
