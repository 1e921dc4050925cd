"""The measurements of `benchmarks.service`, part by part. Importing this module requires django.setup()."""

import json
import random
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import cast

from django.utils import timezone
from tqdm import tqdm

from benchmarks.results.figures import Figure
from benchmarks.system.console import Console
from benchmarks.system.processes import processor_percent, resident
from benchmarks.system.running_system import RunningSystem
from benchmarks.system.stored_rows import api_token, empty, store_runs
from benchmarks.system.summary_requests import request_summaries
from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule.scheduler import EDITS_SEEN_WITHIN
from rl_training.streams import entries
from tests.waiting import wait_for

RUNS = 5
DUE_AT_ONCE = 1_000
ROWS = (1_000, 10_000)
EDITS = 5
STORED_RUNS = (1_000, 1_000_000)
CLIENT_SECONDS = 15.0
WARM_UP_SECONDS = 3.0


def run(system: RunningSystem) -> Iterator[Figure]:
    """Measure default runs on a warm worker, by the timestamps of their stream entries."""
    empty(policies=1)
    with system.start("worker"):
        found = [default_run() for _ in tqdm(range(1 + RUNS), "runs", disable=None)][1:]
    waits, trained = zip(*found, strict=True)
    yield Figure("enqueue to `started`, median", statistics.median(waits), "s", 1.0)
    yield Figure("`started` to `completed`, median", statistics.median(trained), "s", 3.0)
    yield Figure("`started` to `completed`, longest", max(trained), "s")


def default_run() -> tuple[float, float]:
    """Return the seconds from the enqueue to `started`, and from `started` to `completed`."""
    policy = PolicyStore.objects.get(name="rl_v3")
    enqueued = time.time()
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    streams = ("rl_v3.training.started", "rl_v3.training.completed")
    number = policy.runs.count()
    wait_for(lambda: len(entries.stored(streams[1])) == number, "the run to complete", 600)
    last = [entries.stored(stream)[-1] for stream in streams]
    if not json.loads(last[1][1]["payload"])["success"]:
        raise RuntimeError(f"the run failed: {last[1][1]['payload']}")
    # An entry's id begins with the time, in milliseconds, at which Redis stored it.
    timestamps = [enqueued, *(int(entry.partition("-")[0]) / 1000 for entry, _ in last)]
    return cast(tuple[float, float], tuple(later - earlier for earlier, later in pairwise(timestamps)))


def schedule(system: RunningSystem) -> Iterator[Figure]:
    """Measure beat with many policies: all due at once, one edited, and idle."""
    empty(policies=DUE_AT_ONCE)
    with system.start("beat") as services:
        services["beat"].console.wait_for("Config updated", DUE_AT_ONCE)
        yield Figure(f"{DUE_AT_ONCE:,} due policies to as many queued runs", seconds_to_queue_all(), "s", 5.0)
    for rows in ROWS:
        empty(policies=rows)
        with system.start("beat") as services:
            beat = services["beat"]
            beat.console.wait_for("Config updated", rows)
            # Beat treats rows that were just inserted as edited for this long.
            time.sleep(EDITS_SEEN_WITHIN.total_seconds() + 1)
            edits = [seconds_to_see_an_edit(beat.console, rows) for _ in tqdm(range(EDITS), "edits", disable=None)]
            yield Figure(f"edit to `Config updated`, {rows:,} rows, longest of {EDITS}", max(edits), "s", 2.0)
            if rows == ROWS[-1]:
                yield Figure(
                    f"beat's processor use, {rows:,} idle rows", processor_percent(beat.process), "% of a core", 1.0
                )


def seconds_to_queue_all() -> float:
    """Make every policy due, and return the seconds until the last run is stored and its message is sent."""
    due = timezone.now()
    PolicyStore.objects.update(next_run_at=due)
    queued = TrainingRun.objects.filter(status="queued", sent_at__isnull=False)
    wait_for(lambda: queued.count() == DUE_AT_ONCE, "all runs to be queued", 300)
    return (timezone.now() - due).total_seconds()


def seconds_to_see_an_edit(console: Console, rows: int) -> float:
    """Edit a random policy, and return the seconds until beat logs the edit."""
    # Beat ticks once a second, so the edit comes at a random time between two ticks.
    time.sleep(random.random())
    policy = PolicyStore.objects.order_by("pk")[random.randrange(rows)]
    policy.episodes_per_run += 1
    edited = timezone.now()
    policy.save_settings()
    [entry] = console.wait_for("Config updated")
    if entry["policy"] != policy.name:
        raise RuntimeError(f"beat saw an edit of {entry['policy']}, not of {policy.name}")
    return (datetime.fromisoformat(entry["timestamp"]) - edited).total_seconds()


def summary(system: RunningSystem) -> Iterator[Figure]:
    """Measure the summary endpoint with few and with many finished runs, for several clients at once."""
    empty(policies=1)
    token = api_token()
    with system.start("web"):
        for stored in STORED_RUNS:
            store_runs(stored)
            request_summaries(system.web_port, token, WARM_UP_SECONDS)
            answered = request_summaries(system.web_port, token, CLIENT_SECONDS)
            times = statistics.quantiles((1000 * seconds for seconds in answered), n=20)
            runs = f"summary, {stored:,} runs"
            yield Figure(f"{runs}, median", times[9], "ms")
            yield Figure(f"{runs}, 95th percentile", times[18], "ms", 25.0)
            yield Figure(f"{runs}, throughput", len(answered) / CLIENT_SECONDS, "requests/s")


def memory(system: RunningSystem) -> Iterator[Figure]:
    """Measure the processes' memory after a run and a few answers."""
    empty(policies=1)
    token = api_token()
    with system.start("web", "worker", "beat") as services:
        default_run()
        request_summaries(system.web_port, token, 1.0)
        [child] = services["worker"].process.children()
        yield resident("web", services["web"].process, 150.0)
        yield resident("beat", services["beat"].process, 150.0)
        yield resident("worker's parent", services["worker"].process)
        yield resident("training child", child, 700.0)


PARTS = {"run": run, "schedule": schedule, "summary": summary, "memory": memory}
