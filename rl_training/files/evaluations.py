"""The evaluations of versions with all points of their curves, read from the artifacts."""

from pathlib import Path
from typing import Any

from django.core.exceptions import SuspiciousFileOperation

from rl_training.core.sealed import ENSEMBLE_FORMAT, MANIFEST_FILE, POLICY_FORMAT, CheckpointError, unsealed
from rl_training.files import artifacts
from rl_training.models import PolicyVersion


def complete(version: PolicyVersion) -> Any:
    """Return the evaluation of a version as its run computed it.

    If the artifact was removed or cannot be read, the evaluation is the one in the version's row: the same metrics,
    with fewer points in the curves.
    """
    try:
        text = artifacts.read(version.artifact, MANIFEST_FILE)
        manifest = unsealed(Path(MANIFEST_FILE), (POLICY_FORMAT, ENSEMBLE_FORMAT), text)
    except (OSError, CheckpointError, SuspiciousFileOperation):
        return version.evaluation
    return manifest.get("metadata", {}).get("evaluation") or version.evaluation
