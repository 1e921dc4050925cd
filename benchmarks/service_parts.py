"""What `benchmarks.service` measures, part by part. Importing it needs Django's settings to be in place."""

import asyncio
import json
import random
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import cast

import psutil
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from rest_framework.authtoken.models import Token
from tqdm import tqdm

from benchmarks.running_system import LOCAL, Console, RunningSystem
from quantum_trader.redis_clients import redis_client
from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule.scheduler import EDITS_SEEN_WITHIN
from rl_training.streams import entries
from tests.waiting import wait_for

SUMMARY = "/api/v1/rl-v3/dashboard/training-summary"
RUNS = 5
DUE_AT_ONCE = 1_000
ROWS = (1_000, 10_000)
IDLE_SECONDS = 30.0
EDITS = 5
STORED_RUNS = (1_000, 1_000_000)
CLIENTS = 8
CLIENT_SECONDS = 15.0
WARM_UP_SECONDS = 3.0
MEGABYTE = 1e6


@dataclass(frozen=True)
class Figure:
    """A measured value; `at_most` is its target, none where nothing is asked of it."""

    name: str
    value: float
    unit: str
    at_most: float | None = None

    def cells(self) -> tuple[str, str, str, str]:
        """name, figure, target, verdict"""
        if self.at_most is None:
            return self.name, f"{self.value:.3g} {self.unit}", "none set", "-"
        # A figure that is not a number reaches nothing.
        verdict = "ok" if self.value <= self.at_most else "short"
        return self.name, f"{self.value:.3g} {self.unit}", f"<= {self.at_most:g} {self.unit}", verdict


def run(system: RunningSystem) -> Iterator[Figure]:
    """Default runs on a warm worker, as the streams show them."""
    empty(policies=1)
    with system.start("worker"):
        found = [default_run() for _ in tqdm(range(1 + RUNS), "runs", disable=None)][1:]
    waits, trained = zip(*found, strict=True)
    yield Figure("enqueue to `started`, median", statistics.median(waits), "s", 1.0)
    yield Figure("`started` to `completed`, median", statistics.median(trained), "s", 3.0)
    yield Figure("`started` to `completed`, longest", max(trained), "s")


def default_run() -> tuple[float, float]:
    """Seconds from the enqueue to `started`, and from there to `completed`."""
    policy = PolicyStore.objects.get(name="rl_v3")
    enqueued = time.time()
    lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND)
    streams = ("rl_v3.training.started", "rl_v3.training.completed")
    number = policy.runs.count()
    wait_for(lambda: len(entries.stored(streams[1])) == number, "the run to complete", 600)
    last = [entries.stored(stream)[-1] for stream in streams]
    if not json.loads(last[1][1]["payload"])["success"]:
        raise RuntimeError(f"the run failed: {last[1][1]['payload']}")
    # An entry's id begins with the moment, in milliseconds, at which Redis took it.
    moments = [enqueued, *(int(entry.partition("-")[0]) / 1000 for entry, _ in last)]
    return cast(tuple[float, float], tuple(later - earlier for earlier, later in pairwise(moments)))


def schedule(system: RunningSystem) -> Iterator[Figure]:
    """Beat with many policies: all due at once, idle, and one edited."""
    empty(policies=DUE_AT_ONCE)
    with system.start("beat") as services:
        services["beat"].console.wait_for("Config updated", DUE_AT_ONCE)
        yield Figure(f"{DUE_AT_ONCE:,} due policies to as many queued runs", seconds_to_queue_all(), "s", 5.0)
    for rows in ROWS:
        empty(policies=rows)
        with system.start("beat") as services:
            beat = services["beat"]
            beat.console.wait_for("Config updated", rows)
            # Until then rows that were just inserted count as edited.
            time.sleep(EDITS_SEEN_WITHIN.total_seconds() + 1)
            edits = [seconds_to_see_an_edit(beat.console, rows) for _ in tqdm(range(EDITS), "edits", disable=None)]
            yield Figure(f"edit to `Config updated`, {rows:,} rows, longest of {EDITS}", max(edits), "s", 2.0)
            if rows == ROWS[-1]:
                yield Figure(f"beat's processor use, {rows:,} idle rows", busy(beat.process), "% of a core", 1.0)


def seconds_to_queue_all() -> float:
    """Make every policy due now; the time until the last one's run is stored and its message sent."""
    due = timezone.now()
    PolicyStore.objects.update(next_run_at=due)
    queued = TrainingRun.objects.filter(status="queued", sent_at__isnull=False)
    wait_for(lambda: queued.count() == DUE_AT_ONCE, "all runs to be queued", 300)
    return (timezone.now() - due).total_seconds()


def seconds_to_see_an_edit(console: Console, rows: int) -> float:
    time.sleep(random.random())  # at any moment between two ticks
    policy = PolicyStore.objects.order_by("pk")[random.randrange(rows)]
    policy.episodes_per_run += 1
    edited = timezone.now()
    policy.save_settings()
    [entry] = console.wait_for("Config updated")
    if entry["policy"] != policy.name:
        raise RuntimeError(f"beat saw an edit of {entry['policy']}, not of {policy.name}")
    return (datetime.fromisoformat(entry["timestamp"]) - edited).total_seconds()


def busy(process: psutil.Process) -> float:
    """Its use of processors over some time, in percent of a core."""
    before, started = process.cpu_times(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    after, seconds = process.cpu_times(), time.monotonic() - started
    return 100 * (after.user + after.system - before.user - before.system) / seconds


def summary(system: RunningSystem) -> Iterator[Figure]:
    """The summary endpoint with few and with many finished runs of the policy, for several clients at once."""
    empty(policies=1)
    token = api_token()
    with system.start("web"):
        for stored in STORED_RUNS:
            store_runs(stored)
            answered = load(system.web_port, token, WARM_UP_SECONDS) and load(system.web_port, token, CLIENT_SECONDS)
            times = statistics.quantiles((1000 * seconds for seconds in answered), n=20)
            runs = f"summary, {stored:,} runs"
            yield Figure(f"{runs}, median", times[9], "ms")
            yield Figure(f"{runs}, 95th percentile", times[18], "ms", 25.0)
            yield Figure(f"{runs}, throughput", len(answered) / CLIENT_SECONDS, "requests/s")


def load(port: int, token: str, seconds: float) -> list[float]:
    """Seconds that each answer took, of clients that ask again at once over a connection that they keep."""
    deadline = time.perf_counter() + seconds
    request = f"GET {SUMMARY} HTTP/1.1\r\nHost: {LOCAL}:{port}\r\nAuthorization: Token {token}\r\n\r\n".encode()

    async def ask() -> list[float]:
        reader, writer = await asyncio.open_connection(LOCAL, port)
        taken = []
        while (started := time.perf_counter()) < deadline:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *fields = head.decode().lower().splitlines()
            [length] = [int(field.partition(":")[2]) for field in fields if field.startswith("content-length:")]
            body = await reader.readexactly(length)
            taken.append(time.perf_counter() - started)
            if status.split()[1] != "200":
                raise RuntimeError(f"{SUMMARY} answered {status}: {body[:200]!r}")
        writer.close()
        return taken

    async def ask_at_once() -> list[float]:
        return [taken for client in await asyncio.gather(*(ask() for _ in range(CLIENTS))) for taken in client]

    return asyncio.run(ask_at_once())


def store_runs(total: int, at_once: int = 100_000) -> None:
    """Add finished runs of `rl_v3`, a minute from one to the next and each tenth failed, until there are `total`."""
    policy = PolicyStore.objects.get(name="rl_v3")
    config = policy.training_config(episodes=2)
    stored = policy.runs.count()
    for first in tqdm(range(stored, total, at_once), "storing runs", disable=None):
        last = min(first + at_once, total)
        with connection.cursor() as cursor:
            cursor.execute(INSERT_RUNS, [policy.pk, config.model_dump_json(), first, last - 1])
    finished = policy.runs.finished()
    succeeded = finished.filter(status="succeeded").count()
    PolicyStore.objects.update(total_runs=finished.count(), succeeded_runs=succeeded)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


INSERT_RUNS = """
INSERT INTO rl_training_trainingrun (
    run_id, policy_id, status, trigger, scheduled_for, queued_at, sent_at, started_at, finished_at, heartbeat_at,
    attempt, workers_lost, episodes, episodes_done, config, market_summary, duration_seconds, avg_reward, final_reward,
    avg_policy_loss, avg_value_loss, environment_steps, iterations_done, episode_rewards, error, traceback
)
SELECT
    lpad(to_hex(number), 12, '0'), %s, CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, 'schedule',
    slot, slot, slot, slot, slot + interval '3 seconds', slot,
    1, 0, 2, CASE WHEN failed THEN 0 ELSE 2 END, %s::jsonb, NULL, 3.0,
    CASE WHEN NOT failed THEN 0.01 END, CASE WHEN NOT failed THEN 0.02 END,
    CASE WHEN NOT failed THEN -0.003 END, CASE WHEN NOT failed THEN 0.4 END,
    CASE WHEN failed THEN 0 ELSE 262144 END, CASE WHEN failed THEN 0 ELSE 8 END,
    CASE WHEN failed THEN '[]'::jsonb ELSE '[0.01, 0.02]'::jsonb END,
    CASE WHEN failed THEN 'prices.csv, row 7: close is above high' ELSE '' END, ''
FROM (
    SELECT number, number %% 10 = 0 AS failed,
        timestamptz '2020-01-01 00:00:00+00' + number * interval '1 minute' AS slot
    FROM generate_series(%s, %s) AS number
) AS runs
"""


def memory(system: RunningSystem) -> Iterator[Figure]:
    """Resident memory (RSS, hence shared pages in each process that maps them) after a run and a few answers."""
    empty(policies=1)
    token = api_token()
    with system.start("web", "worker", "beat") as services:
        default_run()
        load(system.web_port, token, 1.0)
        [child] = services["worker"].process.children()
        yield resident("web", services["web"].process, 150.0)
        yield resident("beat", services["beat"].process, 150.0)
        yield resident("worker's parent", services["worker"].process)
        yield resident("training child", child, 700.0)


def resident(name: str, process: psutil.Process, at_most: float | None = None) -> Figure:
    return Figure(f"RSS of {name}", process.memory_info().rss / MEGABYTE, "MB", at_most)


def api_token() -> str:
    user, _ = User.objects.get_or_create(username="benchmark")
    return Token.objects.get_or_create(user=user)[0].key


def empty(policies: int) -> None:
    """Leave no run and no message, and `policies` default policies whose slots come in half an hour."""
    redis_client().flushall()
    names = ["rl_v3", *(f"policy_{number}" for number in range(1, policies))]
    slot = timezone.now() + timedelta(minutes=30)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE rl_training_policystore CASCADE")
        PolicyStore.objects.bulk_create([PolicyStore(name=name, next_run_at=slot) for name in names], batch_size=1000)
        cursor.execute("VACUUM ANALYZE")


PARTS = {"run": run, "schedule": schedule, "summary": summary, "memory": memory}
