"""The Celery task: claim -> core.train -> finish."""

import multiprocessing
import shutil
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from celery import shared_task
from celery.platforms import set_pdeathsig
from celery.signals import heartbeat_sent, task_revoked, worker_process_init, worker_shutting_down
from django.conf import settings
from django.db import connection

from rl_training.core import fault_points
from rl_training.core.config import TrainingConfig
from rl_training.files import artifacts, checkpoints
from rl_training.models import PolicyVersion, TrainingRun
from rl_training.models.columns import RESULT_COLUMNS
from rl_training.models.policies import typed_columns
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle, task_messages
from rl_training.worker import pool
from rl_training.worker.ownership import Owner

if TYPE_CHECKING:
    from rl_training.core.market.bars import MarketData
    from rl_training.core.ppo.ppo import Iteration
    from rl_training.core.run.checkpoint import SavedPolicy
    from rl_training.core.run.progress import Progress
    from rl_training.core.run.training import TrainingResult

log = structlog.get_logger(__name__)

# Made before the pool forks, hence one for the worker and its children: the worker sets it, a run in a child sees it.
# Without a lock, which a child that is killed while it holds it would leave to all others for good.
stopping = multiprocessing.RawValue("b", 0)
heartbeat_sent.connect(pool.end_stuck)
heartbeat_sent.connect(heartbeats.record_worker)


class VersionsUnreadableError(Exception):
    """Neither the version that a run is to continue from nor any before it can be read."""


@worker_shutting_down.connect
def ask_runs_to_stop(**_: Any) -> None:
    stopping.value = 1


@task_revoked.connect
def cancel_revoked(request: Any, **_: Any) -> None:
    """In the worker: a run whose task was revoked or terminated, in Flower, is cancelled.

    Workers remember such a task for hours: every message that it waits again would be thrown away.
    """
    try:
        runs = TrainingRun.objects.select_related("policy").defer(*typed_columns("policy"))
        for run in runs.filter(run_id=request.id):
            lifecycle.cancel(run)
    finally:
        connection.close()


@worker_process_init.connect
def prepare(**_: Any) -> None:
    """Before a process of the pool takes its first run: it ends with its worker, and is warm for that run."""
    set_pdeathsig("SIGKILL")
    from rl_training.core.run import training  # torch: see train()

    training.warm_up()
    pool.show()


@shared_task(name=task_messages.TASK, ignore_result=True)
def train_policy(run_id: str) -> None:
    """Execute a queued run; a message for a run that is not queued (any more) does nothing."""
    fault_points.reach("before_claim")
    run = lifecycle.claim(run_id)
    if run is None:
        log.info("Nothing to do, the run is not queued", run_id=run_id)
        return
    fault_points.reach("claimed")
    execute(run, lambda: bool(stopping.value))


def execute(run: TrainingRun, should_stop: Callable[[], bool]) -> None:
    """Train a claimed run and record how it ended. What went wrong is recorded and raised again."""
    with structlog.contextvars.bound_contextvars(run_id=run.run_id), Owner(run) as owner:
        try:
            train_to_the_end(run, owner, lambda: should_stop() or owner.stop.is_set())
        except SystemExit:
            # SIGTERM to this process too, as service managers send it to all of a group.
            connection.close()
            owner.write(lifecycle.release, run)
            raise


def train_to_the_end(run: TrainingRun, owner: Owner, should_stop: Callable[[], bool]) -> None:
    try:
        result, parent = train(run, owner, should_stop)
        outcome = None if result.stopped else lifecycle.Outcome(columns(result), store_version(run, parent, result))
        fault_points.reach("artifact_stored")
    except Exception as error:
        fault_points.reach("before_failure")
        owner.report()
        owner.write(lifecycle.fail, run, explain(error), traceback.format_exc())
        raise
    if outcome is not None:
        owner.write(lifecycle.succeed, run, outcome)
        return
    owner.report()
    owner.write(lifecycle.end_cancelled if owner.cancelled.is_set() else lifecycle.release, run)


def train(
    run: TrainingRun, owner: Owner, should_stop: Callable[[], bool]
) -> "tuple[TrainingResult, PolicyVersion | None]":
    """Train as the run's snapshot says; returns the result and the version that it continued from."""
    # torch is imported here, in the process that trains: neither web and beat nor the worker's parent process,
    # whose OpenMP and CUDA state would not survive the fork, ever import it.
    from rl_training.core.market.sources import load_market, market_summary
    from rl_training.core.run import training

    config = TrainingConfig.model_validate(run.config)
    # Bars up to the first start: every attempt of a run sees the same market.
    market = load_market(config.market, root=settings.MARKET_DATA_ROOT, until=run.started_at, on_page=owner.moved)
    # A run that fails says of which bars.
    owner.progress["market_summary"] = market_summary(config.market, market)
    parent, initial_policy = initial(run, config, market)

    def on_progress(progress: "Progress") -> None:
        log.info(
            "Episode complete",
            episode=f"{progress.episode}/{progress.episodes}",
            reward=round(progress.episode_reward, 6),
            environment_steps=progress.environment_steps,
        )
        owner.progress |= {"episodes_done": progress.episode, "environment_steps": progress.environment_steps}
        owner.announce(
            {
                "episode": progress.episode,
                "episodes": run.episodes,
                "reward": progress.episode_reward,
                "avg_reward": progress.avg_reward,
                "environment_steps": progress.environment_steps,
            }
        )

    def on_iteration(iteration: "Iteration") -> None:
        owner.progress["iterations_done"] = iteration.iteration
        fault_points.reach("iteration")

    # None is held while nothing is written: training may take hours.
    connection.close()
    path, *before = checkpoints.checkpoint_paths(run)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    result = training.train(
        config,
        market,
        initial_policy=initial_policy,
        checkpoint=path,
        earlier_checkpoints=before,
        log_dir=checkpoints.log_path(run),
        on_progress=on_progress,
        on_iteration=on_iteration,
        should_stop=should_stop,
        threads=settings.TRAINING_THREADS,
    )
    return result, parent


def initial(
    run: TrainingRun, config: TrainingConfig, market: "MarketData"
) -> "tuple[PolicyVersion | None, SavedPolicy | None]":
    """The newest usable version, from the run's initial one back through its parents; none: from scratch.

    Raises `VersionsUnreadableError` where there are versions and none of them is there whole; `OSError` where the
    storage does not answer: what was learnt is not thrown away because a disk is full or not mounted for a while.
    """
    from rl_training.core.run import checkpoint, training  # torch: see train()

    version = run.initial_version
    while version is not None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                artifacts.fetch(version.artifact, Path(folder))
                policy = checkpoint.load_policy(Path(folder))
            training.check_fits(policy, config, market)
            return version, policy
        except training.PolicyMismatchError as error:
            log.warning("Starting from scratch", version=version.number, reason=str(error))
            return None, None
        except (FileNotFoundError, checkpoint.CheckpointError) as error:
            log.error("Version cannot be read, trying its parent", version=version.number, error=str(error))
            version = version.parent
    if run.initial_version is not None:
        raise VersionsUnreadableError(
            f"neither version {run.initial_version.number} of {run.policy.name} nor one that it came from can be read "
            f"from {settings.ARTIFACT_ROOT}; put it back, or start anew: train_policy {run.policy.name} --from scratch"
        )
    return None, None


def store_version(run: TrainingRun, parent: PolicyVersion | None, result: "TrainingResult") -> dict[str, Any]:
    """Put the weights and the logged metrics into the artifact storage; returns the policy version's columns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy"
        result.save(path, run_id=run.run_id, policy=run.policy.name)
        if checkpoints.log_path(run).exists():
            shutil.copytree(checkpoints.log_path(run), path, dirs_exist_ok=True)
        # Named by attempt: what a lost attempt left half-written is in nobody's way.
        artifact = artifacts.store(path, f"{run.policy.name}/{run.run_id}-{run.attempt}")
    return {
        "artifact": artifact,
        "sha256": result.weights_digest,
        "evaluation": result.evaluation.as_dict(),
        "parent": parent,
    }


def columns(result: "TrainingResult") -> dict[str, Any]:
    """The columns of a training run that its result fills."""
    return {name: getattr(result, name) for name in RESULT_COLUMNS} | {"episodes_done": len(result.episode_rewards)}


def explain(error: Exception) -> str:
    """The project's own errors are written for people; the type helps to place any other."""
    message = str(error)
    return message if type(error).__module__.startswith("rl_training.") else f"{type(error).__name__}: {message}"
