"""The consequences of a change of a run's status: totals, counters, events, logs, task messages, removed files.

`lifecycle.py` calls these functions in the transaction of the change, which also writes the rows and events. Everything
outside of the database waits for the commit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from django.db.models import F

from rl_training.files import checkpoints
from rl_training.models import Measure, PolicyStore, PolicyVersion, TrainingRun, totals
from rl_training.runs import task_messages
from rl_training.streams import outbox
from rl_training.transactions import after_commit

log = structlog.get_logger(__name__)

Status = TrainingRun.Status


@dataclass(frozen=True)
class Ending:
    """The end of a run.

    results   the run's columns that training computes, such as `avg_reward`; if it failed, their last values
    version   the version that a successful run made
    """

    status: TrainingRun.Status
    finished_at: datetime
    duration_seconds: float
    error: str = ""
    traceback: str = ""
    results: Mapping[str, Any] = field(default_factory=dict)
    version: PolicyVersion | None = None

    def columns(self) -> dict[str, Any]:
        """Return the columns of the ended run's row."""
        return {
            "status": self.status,
            "finished_at": self.finished_at,
            "duration_seconds": self.duration_seconds,
            "error": self.error,
            "traceback": self.traceback,
            **self.results,
        }


def run_queued(run: TrainingRun) -> None:
    """Notify a worker of the run."""
    after_commit(lambda: task_messages.send([run]))


def run_started(run: TrainingRun, *, first_time: bool) -> None:
    """Log the start of an attempt and, for the first one, write the event `started`."""
    after_commit(lambda: _log_start(run))
    if first_time:
        outbox.write(run, "started", {"run_id": run.run_id, "policy": run.policy.name, "episodes": run.episodes})


def run_ended(run: TrainingRun, ending: Ending) -> None:
    """Count the run, remove its checkpoints, log its end, and write the event `completed` if the run has started.

    `run` is the run as it was before it ended.
    """
    measures = {Measure.DURATION: ending.duration_seconds, Measure.REWARD: ending.results.get("avg_reward")}
    totals.add(run.policy_id, ending.status, measures)
    if ending.status != Status.CANCELLED:
        PolicyStore.objects.filter(pk=run.policy_id).update(
            total_runs=F("total_runs") + 1,
            succeeded_runs=F("succeeded_runs") + int(ending.status == Status.SUCCEEDED),
        )
        # A cancelled run keeps its last checkpoint.
        after_commit(lambda: checkpoints.remove(run))
    after_commit(lambda: _log_end(run, ending))
    if run.started_at is not None:
        outbox.write(run, "completed", _completed(run, ending))


def _completed(run: TrainingRun, ending: Ending) -> dict[str, Any]:
    succeeded, version = ending.status == Status.SUCCEEDED, ending.version
    # The event of a failed or cancelled run has no rewards, although the run's row has those of the finished episodes.
    rewards = ending.results if succeeded else {}
    payload = {
        "run_id": run.run_id,
        "policy": run.policy.name,
        "success": succeeded,
        "episodes": run.episodes,
        "duration_seconds": ending.duration_seconds,
        "avg_reward": rewards.get("avg_reward"),
        "final_reward": rewards.get("final_reward"),
        "version": version.number if version else None,
        "sha256": version.sha256 if version else None,
        "artifact": version.artifact if version else None,
    }
    return payload if succeeded else payload | {"error": ending.error}


def _log_start(run: TrainingRun) -> None:
    what = "Starting scheduled run" if run.trigger == TrainingRun.Trigger.SCHEDULE else "Starting triggered run"
    log.info(
        what if run.attempt == 1 else "Starting run again",
        run_id=run.run_id,
        policy=run.policy.name,
        trigger=run.trigger,
        episodes=run.episodes,
        attempt=run.attempt,
    )


def _log_end(run: TrainingRun, ending: Ending) -> None:
    details = {"run_id": run.run_id, "duration_seconds": round(ending.duration_seconds, 3)}
    if ending.status == Status.SUCCEEDED:
        episode = f"{ending.results.get('episodes_done', run.episodes_done)}/{run.episodes}"
        log.info("Training completed", episode=episode, avg_reward=ending.results.get("avg_reward"), **details)
    elif ending.status == Status.CANCELLED:
        log.warning("Training cancelled", **details)
    else:
        log.error("Training failed", error=ending.error, **details)
