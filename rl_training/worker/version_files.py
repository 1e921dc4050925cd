"""The files of policy versions: reading the version that a run starts from, storing the one that it makes."""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from django.conf import settings

from rl_training.core.config import TrainingConfig
from rl_training.files import artifacts, checkpoints
from rl_training.models import PolicyVersion, TrainingRun

if TYPE_CHECKING:
    from rl_training.core.market.bars import MarketData
    from rl_training.core.run.checkpoint import SavedPolicy
    from rl_training.core.run.training import TrainingResult

log = structlog.get_logger(__name__)


class VersionsUnreadableError(Exception):
    """Neither the version that a run is to start from nor any version before it can be read."""


def load_initial_version(
    run: TrainingRun, config: TrainingConfig, market: "MarketData"
) -> "tuple[PolicyVersion | None, SavedPolicy | None]":
    """Return the run's initial version and its policy, or the nearest readable parent's; None twice: from scratch.

    Raises `VersionsUnreadableError` when the run has an initial version and neither it nor a parent is complete.
    Raises `OSError` when the storage does not answer: a full or unmounted disk must not discard what was learnt.
    """
    from rl_training.core.run import checkpoint, requirements  # torch: see execution.train()

    version = run.initial_version
    while version is not None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                artifacts.fetch(version.artifact, Path(folder))
                policy = checkpoint.load_policy(Path(folder))
            requirements.check_fits(policy, config, market)
            return version, policy
        except requirements.PolicyMismatchError as error:
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
    """Put the weights and the logged metrics into the artifact storage; return the policy version's columns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy"
        result.save(path, run_id=run.run_id, policy=run.policy.name)
        if checkpoints.log_path(run).exists():
            shutil.copytree(checkpoints.log_path(run), path, dirs_exist_ok=True)
        # The name holds the attempt, so that files that a lost attempt left half-written are not in the way.
        artifact = artifacts.store(path, f"{run.policy.name}/{run.run_id}-{run.attempt}")
    return {
        "artifact": artifact,
        "sha256": result.weights_digest,
        "evaluation": result.evaluation.as_dict(),
        "parent": parent,
    }
