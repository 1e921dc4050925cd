"""The progress of queued and running runs: share done, reward, speed and time left."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import redis
import structlog
from django.utils import timezone

from dashboard.live.entries import Id, formatted, parse
from rl_training.models import TrainingRun
from rl_training.presence import heartbeats
from rl_training.runs.cancelling import how_it_ends_at

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class ActiveRun:
    """A run with its progress; a value that is unknown is None.

    `share` is the part of its steps that is done, 0 to 1; `reward` the mean reward of its finished episodes; `steps`
    the environment steps of the whole run; `at` the time of the progress shown; `waits_for` the reason why a queued run
    does not start yet.
    """

    run: TrainingRun
    episodes_done: int
    share: float
    reward: float | None
    steps: int | None
    steps_per_second: float | None
    seconds_left: float | None
    at: datetime
    waits_for: str | None = None

    @property
    def waits(self) -> bool:
        return self.run.status == TrainingRun.Status.QUEUED

    @property
    def ends_at(self) -> datetime | None:
        """The expected end of the run."""
        return None if self.seconds_left is None else timezone.now() + timedelta(seconds=self.seconds_left)

    @property
    def how_it_ends(self) -> str:
        """Return how the run, which is being cancelled, ends."""
        return how_it_ends_at(self.run.heartbeat_age)  # type: ignore[attr-defined]


def active_runs(runs: Iterable[TrainingRun]) -> list[ActiveRun]:
    """Return the progress of runs that were read `watched`, with the newest entries of their progress streams."""
    found = list(runs)
    published = last_progress([run for run in found if run.status == TrainingRun.Status.RUNNING])
    waiting = any(run.status == TrainingRun.Status.QUEUED for run in found)
    waits_for = heartbeats.PREPARING if waiting and heartbeats.workers_are_preparing() else None
    return [replace(shown(run, *published.get(run.run_id, (None, {}))), waits_for=waits_for) for run in found]


def shown(run: Any, entry: Id | None, progress: dict[str, Any]) -> ActiveRun:
    now = timezone.now()
    # `episode` counts the episodes of one member only, but older releases published no `episodes_done`.
    published = progress.get("episodes_done", progress.get("episode"))
    done = max(run.episodes_done, whole(published))
    at = run.heartbeat_at or now
    if entry is not None:
        at = max(at, datetime.fromtimestamp(entry[0] / 1000, tz=at.tzinfo))
    steps = run.episodes * whole(run.num_envs) * whole(run.episode_length) * members(run)
    steps_done = max(run.environment_steps, whole(progress.get("environment_steps")), least_steps(run, done))
    share = min(1.0, steps_done / steps if steps else done / run.episodes)
    taken = (at - run.started_at).total_seconds() if run.started_at else 0.0
    moving = run.status == TrainingRun.Status.RUNNING and taken > 0 and share > 0
    left = taken * (1 - share) / share - (now - at).total_seconds() if moving else None
    return ActiveRun(
        run=run,
        episodes_done=done,
        share=share,
        reward=number(progress.get("avg_reward")),
        steps=steps or None,
        steps_per_second=steps_done / taken if moving and steps_done else None,
        seconds_left=max(0.0, left) if left is not None else None,
        at=at,
    )


def members(run: Any) -> int:
    """Return the number of the run's members; a run of an older release has one."""
    return whole(run.seeds) or 1


def least_steps(run: Any, episodes_done: int) -> int:
    """Return the environment steps of the finished episodes and iterations of a run that was read `watched`.

    An older release stored the steps at the end of an episode only. Its runs have one member.
    """
    envs = whole(run.num_envs)
    iterations = run.iterations_done * whole(run.rollout_length) if members(run) == 1 else 0
    return max(episodes_done * members(run) * whole(run.episode_length), iterations) * envs


def last_progress(runs: Sequence[TrainingRun]) -> dict[str, tuple[Id, dict[str, Any]]]:
    """Return the newest progress entry of each run by run_id, for the runs that have an entry in Redis."""
    if not runs:
        return {}
    pipe = heartbeats.client().pipeline(transaction=False)
    for run in runs:
        pipe.xrevrange(f"{run.policy.name}.training.progress", count=1)
    try:
        answers = pipe.execute(raise_on_error=False)
    except redis.RedisError as error:
        log.warning("Progress is shown as the database has it", error=str(error))
        return {}
    found = {}
    for run, answer in zip(runs, answers, strict=True):
        # An answer that is not a list is an error: the key holds no stream.
        for name, fields in answer if isinstance(answer, list) else []:
            entry = parse(name)
            if entry is not None and fields.get("run_id") == run.run_id:
                found[run.run_id] = (entry, payload_of(fields))
    return found


def payload_of(fields: dict[str, str]) -> dict[str, Any]:
    """Return the payload of an entry, or an empty dict if it is not a JSON object."""
    try:
        found = json.loads(fields.get("payload", ""))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def current_stream_id() -> str | None:
    """Return an id that precedes every entry added from now on, or None without Redis."""
    try:
        seconds, microseconds = heartbeats.client().time()
    except redis.RedisError:
        return None
    return formatted((seconds * 1000 + microseconds // 1000, 0))


def whole(value: Any) -> int:
    """Return the value if it is a positive integer, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def number(value: Any) -> float | None:
    """Return the value as a float if it is a finite number, else None."""
    ok = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if ok else None
