"""Policies and checkpoints on disk, as safetensors and JSON. They are written atomically and checked when read.

A policy is a folder with `policy.safetensors` and `manifest.json`, so that other programs can read it. A checkpoint is
one file, with JSON in the metadata of the safetensors format. Both contain SHA-256 digests of their content. Nothing is
pickled, so loading a file runs no code from it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from rl_training.core.atomic import write_file, write_folder
from rl_training.core.config import EnvironmentConfig
from rl_training.core.ppo.ensemble import AnyPolicy, load_members
from rl_training.core.ppo.policy import PolicyShape
from rl_training.core.sealed import (
    CHECKPOINT_FORMAT,
    CHECKPOINT_METADATA,
    ENSEMBLE_FORMAT,
    MANIFEST_FILE,
    POLICY_FORMAT,
    TENSORS_FILE,
    TRAINED_UNTIL,
    CheckpointError,
    digest_of_tensors,
    load_checkpoint_arrays,
    sealed,
    unsealed,
)
from rl_training.core.trading.features import FeatureStatistics


@dataclass(frozen=True)
class SavedPolicy:
    """A loaded policy with the environment it was trained in, its feature statistics and its manifest."""

    policy: AnyPolicy
    environment: EnvironmentConfig
    statistics: FeatureStatistics
    manifest: dict[str, Any]

    def predict(self, observations: npt.ArrayLike, deterministic: bool = True) -> npt.NDArray[np.int64]:
        """Return actions for observations; see Policy.predict."""
        return self.policy.predict(observations, deterministic)

    @property
    def trained_until(self) -> np.datetime64 | None:
        """The last bar that this policy, or any it continued from, was trained on; None in older manifests."""
        noted = self.manifest["metadata"].get(TRAINED_UNTIL)
        return None if noted is None else np.datetime64(noted)

    @property
    def digest(self) -> str:
        """The digest of the policy's tensors; see tensor_digest()."""
        return str(self.manifest["digest"])


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256, in hex, of names, types, shapes and values, in the order of the names.

    The digest is of the tensors, because a file's header lists them in no fixed order.
    """
    found = {name: tensors[name].detach().cpu().contiguous() for name in sorted(tensors)}
    return digest_of_tensors(
        (name, str(tensor.dtype), list(tensor.shape), tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, tensor in found.items()
    )


def save_policy(
    path: Path,
    policy: AnyPolicy,
    *,
    environment: EnvironmentConfig,
    statistics: FeatureStatistics,
    metadata: Mapping[str, Any],
) -> str:
    """Write the folder `path`, replacing an existing one, and return the digest of the tensors.

    `metadata` goes into the manifest and may hold only JSON values. Raises CheckpointError if the folder cannot be
    written; an existing folder then stays as it was.
    """
    tensors, members = policy.tensors(), len(policy.members)
    digest = tensor_digest(tensors)
    manifest = sealed(
        path,
        POLICY_FORMAT if members == 1 else ENSEMBLE_FORMAT,
        {
            **({} if members == 1 else {"members": members}),
            "digest": digest,
            "shape": asdict(policy.shape),
            "environment": environment.model_dump(),
            "statistics": statistics.as_dict(),
            "metadata": dict(metadata),
        },
    )
    files = {
        TENSORS_FILE: safetensors.torch.save(tensors),
        MANIFEST_FILE: json.dumps(manifest).encode(),
    }
    try:
        write_folder(path, files)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from error
    return digest


def load_policy(path: Path) -> SavedPolicy:
    """Return the policy of save_policy(). Raises CheckpointError if it is missing, damaged or of another format."""
    formats = (POLICY_FORMAT, ENSEMBLE_FORMAT)
    manifest = unsealed(path / MANIFEST_FILE, formats, _read(path / MANIFEST_FILE))
    tensors = _tensors(path / TENSORS_FILE)
    if tensor_digest(tensors) != manifest["digest"]:
        raise CheckpointError(f"{path / TENSORS_FILE}: damaged: SHA-256 is not the digest in {MANIFEST_FILE}")
    try:
        shape = PolicyShape(**{**manifest["shape"], "hidden_sizes": tuple(manifest["shape"]["hidden_sizes"])})
        members = 1 if manifest["format"] == POLICY_FORMAT else manifest["members"]
        policy = load_members(shape, members, tensors)
        environment = EnvironmentConfig.model_validate(manifest["environment"])
        statistics = FeatureStatistics.from_dict(manifest["statistics"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path / MANIFEST_FILE}: does not describe a policy: {error}") from error
    return SavedPolicy(policy, environment, statistics, manifest)


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Write one file with `tensors` and `state`, of JSON values, and keep the former file at atomic.previous(path).

    Raises CheckpointError if the file cannot be written; the former one then stays at one of the two paths.
    """
    content = sealed(path, CHECKPOINT_FORMAT, {"digest": tensor_digest(tensors), "state": dict(state)})
    data = safetensors.torch.save(dict(tensors), metadata={CHECKPOINT_METADATA: json.dumps(content)})
    try:
        write_file(path, data, keep_previous=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error}") from error


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and state of save_checkpoint(). Raises CheckpointError if missing or damaged."""
    arrays, state = load_checkpoint_arrays(path)
    # Copies, because torch wants arrays that it may write to.
    return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}, state


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(_read(path))
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
