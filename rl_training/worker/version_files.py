"""The files of policy versions: reading the version that a run starts from, storing the one that it makes."""

import shutil
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings
from pydantic import ValidationError

from rl_training.core.config import TrainingConfig
from rl_training.core.evaluation.equity_curves import thinned
from rl_training.core.market_config import MarketConfig
from rl_training.core.sealed import CheckpointError
from rl_training.files import artifacts, checkpoints
from rl_training.models import PolicyVersion, TrainingRun
from rl_training.worker.run_progress import RunStart

if TYPE_CHECKING:
    from rl_training.core.market.bars import MarketData
    from rl_training.core.run.checkpoint import SavedPolicy
    from rl_training.core.run.result import TrainingResult

log = structlog.get_logger(__name__)


class VersionsUnreadableError(Exception):
    """Neither the initial version of a run nor any version before it can be read."""


def load_initial_version(
    run: TrainingRun, config: TrainingConfig, market: "MarketData"
) -> "tuple[RunStart, SavedPolicy | None]":
    """Return the start of the run, and the policy of its version: the initial version, a readable parent, or scratch.

    Raises `VersionsUnreadableError` when the run has an initial version and neither this version nor a parent is
    complete. Raises `OSError` when the storage does not answer: a full or unmounted disk must not lead to a start from
    scratch.
    """
    from rl_training.core.run import checkpoint, requirements  # torch: see execution.train()

    version = run.initial_version
    while version is not None:
        try:
            with checkpoints.temporary_folder(run) as folder:
                artifacts.fetch(version.artifact, folder)
                policy = checkpoint.load_policy(folder)
            requirements.check_fits(policy, config, market)
            return RunStart(version, _notes(run, version, config)), policy
        except requirements.PolicyMismatchError as error:
            log.warning("Starting from scratch", version=version.number, reason=str(error))
            return RunStart(None, f"version {version.number} cannot be continued: {error}"), None
        except (FileNotFoundError, CheckpointError) as error:
            log.error("Version cannot be read, trying its parent", version=version.number, error=str(error))
            version = version.parent
    if run.initial_version is not None:
        raise VersionsUnreadableError(
            f"neither version {run.initial_version.number} of {run.policy.name} nor a version before it can be read "
            f"from {settings.ARTIFACT_ROOT}; restore it, or start anew: train_policy {run.policy.name} --from scratch"
        )
    return RunStart(None), None


def _notes(run: TrainingRun, version: PolicyVersion, config: TrainingConfig) -> str:
    """Log and return what is unusual about the start from `version`; empty if nothing is."""
    notes = []
    if run.initial_version is not None and version.pk != run.initial_version.pk:
        notes.append(f"Version {run.initial_version.number} cannot be read.")
    was = _market_of(version)
    if was is not None and was.identity != config.market.identity:
        what = (
            f"Continuing from version {version.number}, which was trained on another market: "
            f"{was.label} -> {config.market.label_beside(was)}"
        )
        log.warning(what)
        notes.append(f"{what}.")
    return " ".join(notes)


def _market_of(version: PolicyVersion) -> MarketConfig | None:
    """Return the market that the version was trained on; None if it is stored unreadable."""
    try:
        return MarketConfig.model_validate(version.run.config["market"])
    except (ValidationError, KeyError, TypeError):
        return None


def store_version(run: TrainingRun, parent: PolicyVersion | None, result: "TrainingResult") -> dict[str, Any]:
    """Put the weights and the logged metrics into the artifact storage; return the policy version's columns."""
    with checkpoints.temporary_folder(run) as folder:
        path = folder / "policy"
        result.save(path, run_id=run.run_id, policy=run.policy.name)
        if checkpoints.log_path(run).exists():
            shutil.copytree(checkpoints.log_path(run), path, dirs_exist_ok=True)
        artifact = artifacts.store(path, artifacts.name_of(run, run.attempt))
    return {
        "artifact": artifact,
        "sha256": result.weights_digest,
        "evaluation": thinned(result.stored_evaluation),
        "parent": parent,
    }
