"""The execution of a claimed step of a validation: plan the folds, train one, or judge all."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q

from rl_training.core import fault_points
from rl_training.core.config import TrainingConfig
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.run.walk_forward.folds import Fold, plan_folds
from rl_training.core.sealed import CheckpointError
from rl_training.files import artifacts, bars, checkpoints
from rl_training.models import PolicyVersion, TrainingRun, TrialMarket, Validation, ValidationStep
from rl_training.validation import accounts, gate, judging, steps
from rl_training.worker.database_retry import patiently, write_end
from rl_training.worker.execution import explain
from rl_training.worker.work_ownership import Limits, StoppedError, WorkOwner

if TYPE_CHECKING:
    from rl_training.core.ppo.ppo import Iteration
    from rl_training.core.run.walk_forward.fold_training import FoldPolicy

log = structlog.get_logger(__name__)

Kind = ValidationStep.Kind


def execute(step: ValidationStep, should_stop: Callable[[], bool]) -> None:
    """Execute a claimed step and write its end. An unexpected error is written, then raised again."""
    from rl_training.core.run.requirements import PolicyMismatchError  # torch: see execution.train()
    from rl_training.core.run.walk_forward.leaks import LeakError

    policy, is_fold = step.validation.policy, step.kind == Kind.FOLD
    owner = WorkOwner(
        step,
        limits=Limits(policy.stall_limit_minutes, policy.run_limit_minutes),
        fail=steps.fail,
        yields=_run_waits if is_fold else lambda seconds: False,
    )
    work = {Kind.PREPARE: _prepare, Kind.FOLD: _train, Kind.JUDGE: _judge}[Kind(step.kind)]
    context = {"validation_id": step.validation.validation_id, "step": step.kind}
    context |= {"fold": f"{step.number + 1}/{step.validation.folds}"} if is_fold else {}
    with structlog.contextvars.bound_contextvars(**context), owner:
        stopping = lambda: should_stop() or owner.stop.is_set()  # noqa: E731
        try:
            # Repeating a step has the same result: a fold continues from its checkpoint.
            patiently(work, step, owner, stopping, while_waiting=_checked(owner, stopping))
        except (StoppedError, SystemExit) as stop:
            # Service managers send SIGTERM to all processes of a group, and Celery turns it into SystemExit.
            connection.close()
            write_end(steps.release, step, while_waiting=owner.note_activity)
            if isinstance(stop, SystemExit):
                raise
        except (MarketDataError, LeakError, CheckpointError, PolicyMismatchError, FileNotFoundError) as error:
            write_end(steps.fail, step, str(error), while_waiting=owner.note_activity)
        except Exception as error:
            write_end(steps.fail, step, explain(error), while_waiting=owner.note_activity)
            raise


def _run_waits(seconds: float) -> bool:
    """Return whether a step has run for VALIDATION_TURN_SECONDS while a training run waits for a worker."""
    waits = TrainingRun.objects.filter(status=TrainingRun.Status.QUEUED, sent_at__isnull=False)
    return seconds > settings.VALIDATION_TURN_SECONDS and waits.exists()


def _checked(owner: WorkOwner, stopping: Callable[[], bool]) -> Callable[[], None]:
    """Return a function that long work calls regularly and that raises `StoppedError` when the work has to end."""

    def check() -> None:
        owner.note_activity()
        if stopping():
            raise StoppedError

    return check


def _config(validation: Validation) -> TrainingConfig:
    return TrainingConfig.model_validate(validation.config)


def _plan(validation: Validation, config: TrainingConfig, market: MarketData) -> tuple[Fold, ...]:
    return plan_folds(len(market), config.environment, folds=validation.folds, window=validation.window)


def _prepare(step: ValidationStep, owner: WorkOwner, stopping: Callable[[], bool]) -> None:
    from rl_training.core.market.sources import load_market
    from rl_training.core.run.walk_forward.fold_training import continues  # torch: see execution.train()

    validation, config = step.validation, _config(step.validation)
    check = _checked(owner, stopping)
    # The market ends at the first start, so that every attempt walks forward on the same bars.
    market = load_market(
        config.market,
        root=settings.MARKET_DATA_ROOT,
        until=validation.started_at,
        on_page=check,
        columns=config.environment.own_columns,
    )
    folds = _plan(validation, config, market)
    # The row refers to the bars before they are stored; see files/bars.py.
    _refer_to_bars(validation, market)
    bars.store(market)
    iterations = config.seeds * config.member_iterations
    plan = (market, folds, iterations, continues(validation.start_from))
    write_end(steps.prepared, step, *plan, while_waiting=owner.note_activity)


def _refer_to_bars(validation: Validation, market: MarketData) -> None:
    """Store the digests of the bars in the validation's row.

    Raises `MarketDataError` if the same bars have trials under another name, for example those of a copied file.
    """
    prices = market.without_own.digest
    tried_on = Validation.objects.filter(Q(bars_digest=prices) | Q(prices_digest=prices))
    with transaction.atomic():
        # Without a common lock, two validations of the same bars under two names could both find no other validation.
        TrialMarket.objects.select_for_update().order_by("pk").first()
        same = tried_on.exclude(market_key=validation.market_key).first()
        if same is not None:
            tried = f"recipes were tried on the same bars as market {same.market}"
            raise MarketDataError(f"walk-forward: {tried}; use this market")
        digests = {"bars_digest": market.digest, "prices_digest": prices if market.own else ""}
        Validation.objects.filter(pk=validation.pk).update(**digests)


def _train(step: ValidationStep, owner: WorkOwner, stopping: Callable[[], bool]) -> None:
    from rl_training.core.run.walk_forward import fold_training  # torch: see execution.train()

    began, validation = time.monotonic(), step.validation
    config, market = _config(validation), bars.fetch(validation.bars_digest)
    folds = _plan(validation, config, market)
    fold, following, previous = folds[step.number], None, None
    if fold_training.continues(validation.start_from):
        following = folds[step.number + 1] if step.number + 1 < len(folds) else None
        before = validation.steps.filter(kind=Kind.FOLD, number=step.number - 1).first()
        previous = artifacts.load(before.artifact) if before else None
    # The training may take hours and must not hold a connection that it does not use.
    connection.close()
    path, *earlier = checkpoints.checkpoint_paths(step)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    result = fold_training.train_fold(
        config,
        market,
        fold,
        previous=previous,
        checkpoint=path,
        earlier_checkpoints=earlier,
        on_iteration=_iteration_callback(owner),
        should_stop=stopping,
        while_evaluating=owner.note_activity,
        threads=settings.TRAINING_THREADS,
    )
    if result.stopped:
        raise StoppedError
    name = steps.artifact_name(step, step.attempt)
    with checkpoints.temporary_folder(step) as folder:
        digest = fold_training.store_fold(folder / "policy", fold, result, validation_id=validation.validation_id)
        artifacts.store(folder / "policy", name)
    fault_points.reach("fold_stored")
    columns = {"artifact": name, "sha256": digest, "seconds": time.monotonic() - began}
    write_end(steps.fold_trained, step, market, following, columns, while_waiting=owner.note_activity)


def _iteration_callback(owner: WorkOwner) -> "Callable[[Iteration], None]":
    def on_iteration(iteration: "Iteration") -> None:
        owner.note_activity()
        owner.progress["iterations_done"] = iteration.iteration
        fault_points.reach("iteration")

    return on_iteration


def _judge(step: ValidationStep, owner: WorkOwner, stopping: Callable[[], bool]) -> None:
    from rl_training.core.run.walk_forward.stitching import stitch  # torch: see execution.train()

    validation, check = step.validation, _checked(owner, stopping)
    config, market = _config(validation), bars.fetch(validation.bars_digest)
    trained = validation.steps.filter(kind=Kind.FOLD).order_by("number")
    stitched = stitch(market, config.environment, [_load_fold(fold) for fold in trained], check)
    found = accounts.Accounts.of(stitched)
    judged = judging.judge_accounts(validation, market, stitched, found, check)
    with checkpoints.temporary_folder(step) as folder:
        name = steps.artifact_name(step, step.attempt)
        (folder / "accounts").mkdir()
        stored, digest = accounts.store(folder / "accounts", name, found)
    columns = judged.columns | {"accounts": stored, "accounts_sha256": digest}
    # The accounts are stored once, so only what follows is done again while the database is away.
    newest, findings = patiently(_examine_newest, validation, columns, while_waiting=check)

    def then(ended: Validation) -> None:
        if judged.ends:
            judging.end_monitored(ended, judged.ends)
        if newest is not None and ended.verdict == Validation.Verdict.VALIDATED:
            gate.decide(newest, findings)

    write_end(steps.judged, step, columns, then, while_waiting=owner.note_activity)


def _examine_newest(validation: Validation, columns: dict[str, Any]) -> tuple[PolicyVersion | None, gate.Findings]:
    """Return the version that the verdict in these columns may make live, and the guards' findings about it."""
    newest = gate.newest_version(validation)
    if newest is None or columns.get("verdict") != Validation.Verdict.VALIDATED:
        return newest, gate.Findings(None)
    for name in ("result", "accounts", "accounts_sha256"):
        setattr(validation, name, columns[name])
    return newest, gate.Findings(validation, tuple(gate.broken(validation, newest.evaluation)))


def _load_fold(step: ValidationStep) -> "FoldPolicy":
    from rl_training.core.run.walk_forward.fold_training import load_fold  # torch: see execution.train()

    with tempfile.TemporaryDirectory() as folder:
        artifacts.fetch(step.artifact, Path(folder))
        return load_fold(Path(folder))
