"""The execution of a claimed run: trains, stores the version, and writes the end of the run."""

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import connection
from pydantic import ValidationError

from rl_training.core import fault_points
from rl_training.core.config import TrainingConfig
from rl_training.core.config_problems import find_problems, format_problems
from rl_training.files import bars, checkpoints
from rl_training.models import PolicyVersion, TrainingRun
from rl_training.models.columns import RESULT_COLUMNS
from rl_training.runs import lifecycle
from rl_training.validation import gate
from rl_training.worker.announcing import Announcer
from rl_training.worker.database_retry import patiently, write_end
from rl_training.worker.ownership import Owner
from rl_training.worker.version_files import load_initial_version, store_version

if TYPE_CHECKING:
    from rl_training.core.market.bars import MarketData
    from rl_training.core.ppo.ppo import Iteration
    from rl_training.core.run.progress import Progress
    from rl_training.core.run.result import TrainingResult

log = structlog.get_logger(__name__)


def execute(run: TrainingRun, should_stop: Callable[[], bool]) -> None:
    """Train a claimed run and write its end. An error of the training is written, then raised again."""
    with structlog.contextvars.bound_contextvars(run_id=run.run_id), Owner(run) as owner:
        try:
            _train_to_the_end(run, owner, lambda: should_stop() or owner.stop.is_set())
        except SystemExit:
            # Service managers send SIGTERM to all processes of a group, and Celery turns it into SystemExit.
            connection.close()
            write_end(lifecycle.release, run, while_waiting=owner.note_activity)
            raise
        except KeyboardInterrupt:
            # Ctrl-C interrupts only a run in the foreground.
            connection.close()
            owner.write_progress()
            found = ("interrupted", "", owner.progress.results())
            write_end(lifecycle.fail, run, *found, while_waiting=owner.note_activity)
            raise


def _train_to_the_end(run: TrainingRun, owner: Owner, should_stop: Callable[[], bool]) -> None:
    try:
        result, parent, market = train(run, owner, should_stop)
        outcome, findings = None, gate.Findings(None)
        # A short run ends before the owner has written any progress.
        results = owner.progress.columns() | columns(result)
        if not result.stopped:
            outcome = lifecycle.Outcome(results, store_version(run, parent, result))
            evaluation = result.stored_evaluation
            findings = patiently(gate.examine, run, evaluation, market, while_waiting=owner.note_activity)
        fault_points.reach("artifact_stored")
    except Exception as error:
        fault_points.reach("before_failure")
        owner.write_progress()
        found = (explain(error), traceback.format_exc(), owner.progress.results())
        write_end(lifecycle.fail, run, *found, while_waiting=owner.note_activity)
        raise
    if outcome is not None:
        write_end(
            lifecycle.succeed,
            run,
            outcome,
            lambda version: gate.decide(version, findings),
            while_waiting=owner.note_activity,
        )
        return
    owner.write_progress()
    if owner.cancelled.is_set():
        write_end(lifecycle.end_cancelled, run, results, while_waiting=owner.note_activity)
    else:
        write_end(lifecycle.release, run, while_waiting=owner.note_activity)


def train(
    run: TrainingRun, owner: Owner, should_stop: Callable[[], bool]
) -> "tuple[TrainingResult, PolicyVersion | None, MarketData]":
    """Train with the run's config snapshot; return the result, the version that it started from, and the bars."""
    # torch is imported here, in the process that trains. Web, beat and the worker's parent process never import it:
    # the state of its OpenMP and CUDA libraries would not survive the fork of the pool.
    from rl_training.core.market.sources import load_market, market_summary
    from rl_training.core.run import training
    from rl_training.core.run.computing_environment import computing_environment, with_earlier

    config = TrainingConfig.model_validate(run.config)
    # The market ends at the first start, so that every attempt of a run sees the same bars.
    market = load_market(
        config.market,
        root=settings.MARKET_DATA_ROOT,
        until=run.started_at,
        on_page=owner.note_activity,
        columns=config.environment.own_columns,
    )
    # Set before training, so that a failed run shows its market too.
    owner.progress.market_summary = market_summary(config.market, market)
    owner.progress.bars_digest = market.digest
    environment = computing_environment(config, settings.TRAINING_THREADS)
    owner.progress.computing_environment = with_earlier(environment, run.computing_environment)
    start, initial_policy = patiently(load_initial_version, run, config, market, while_waiting=owner.note_activity)
    owner.progress.start = start
    _store_bars(owner, market)
    # Training may take hours and must not hold a connection that it does not use.
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
        on_progress=_progress_callback(run, owner),
        on_iteration=_iteration_callback(owner),
        on_begin=owner.progress.follow,
        should_stop=should_stop,
        while_evaluating=owner.note_activity,
        threads=settings.TRAINING_THREADS,
    )
    return result, start.version, market


def _store_bars(owner: Owner, market: "MarketData") -> None:
    """Store the bars for a replay. An error is logged: the run does not need them.

    The row refers to the bars before they are stored; see files/bars.py.
    """
    owner.write_progress()
    try:
        bars.store(market)
    except OSError as error:
        log.error("The bars were not stored, so this run cannot be replayed without its source", error=str(error))


def _progress_callback(run: TrainingRun, owner: Owner) -> "Callable[[Progress], None]":
    announcer = Announcer(run)

    def on_progress(progress: "Progress") -> None:
        several = progress.members > 1
        log.info(
            "Episode complete",
            episode=f"{progress.episode}/{progress.episodes}",
            **({"member": f"{progress.member}/{progress.members}"} if several else {}),
            reward=round(progress.episode_reward, 6),
            environment_steps=progress.environment_steps,
        )
        owner.progress.episodes_done = progress.episodes_done
        announcer.announce(
            {
                "episode": progress.episode,
                "episodes": run.episodes,
                **({"member": progress.member, "members": progress.members} if several else {}),
                "episodes_done": progress.episodes_done,
                "reward": progress.episode_reward,
                "avg_reward": progress.avg_reward,
                "environment_steps": progress.environment_steps,
                "iteration": progress.iteration,
                **progress.metrics,
                **(progress.held_out.named() if progress.held_out else {}),
            }
        )

    return on_progress


def _iteration_callback(owner: Owner) -> "Callable[[Iteration], None]":
    def on_iteration(iteration: "Iteration") -> None:
        owner.progress.iterations_done = iteration.iteration
        owner.progress.environment_steps = iteration.timesteps
        fault_points.reach("iteration")

    return on_iteration


def columns(result: "TrainingResult") -> dict[str, Any]:
    """Return the columns of a training run that its result fills."""
    return {name: getattr(result, name) for name in (*RESULT_COLUMNS, "episodes_done")}


def explain(error: Exception) -> str:
    """Return the error's message; of refused settings, their problems. Other projects' errors begin with their type."""
    if isinstance(error, ValidationError):
        return f"the stored settings are invalid: {format_problems(find_problems(error))}"
    message = str(error)
    return message if type(error).__module__.startswith("rl_training.") else f"{type(error).__name__}: {message}"
