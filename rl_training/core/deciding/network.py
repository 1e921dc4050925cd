"""A stored policy for live decisions, read without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from rl_training.core.config import EnvironmentConfig
from rl_training.core.ppo.compiled_policy import OBSERVATION_CLIP, CompiledPolicy, observation_scale
from rl_training.core.sealed import (
    ENSEMBLE_FORMAT,
    MANIFEST_FILE,
    POLICY_FORMAT,
    TENSORS_FILE,
    TRAINED_UNTIL,
    CheckpointError,
    digest_of_arrays,
    unsealed,
)
from rl_training.core.trading.features import FeatureStatistics

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Network:
    """The networks of a policy's members, with the environment and the feature statistics of their training.

    digest         SHA-256 of the tensors, in hex; see checkpoint.tensor_digest()
    trained_until  the last bar of the training, ISO 8601 in UTC; None in older files
    """

    actor: CompiledPolicy
    critic: CompiledPolicy
    environment: EnvironmentConfig
    statistics: FeatureStatistics
    digest: str
    trained_until: str | None


def load_network(folder: Path) -> Network:
    """Return the policy that checkpoint.save_policy() wrote. Raises CheckpointError if it is missing or damaged."""
    manifest_file, tensors_file = folder / MANIFEST_FILE, folder / TENSORS_FILE
    try:
        manifest = unsealed(manifest_file, (POLICY_FORMAT, ENSEMBLE_FORMAT), manifest_file.read_bytes())
        tensors = safetensors.numpy.load(tensors_file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read: {error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{tensors_file}: damaged: {error}") from error
    if digest_of_arrays(tensors) != manifest["digest"]:
        raise CheckpointError(f"{tensors_file}: damaged: SHA-256 is not the digest in {MANIFEST_FILE}")
    try:
        return _network(manifest, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{manifest_file}: does not describe a policy: {error}") from error


def _network(manifest: Mapping[str, Any], tensors: Tensors) -> Network:
    members = 1 if manifest["format"] == POLICY_FORMAT else int(manifest["members"])
    prefixes = [""] if members == 1 else [f"member.{number}." for number in range(members)]
    noted = manifest["metadata"].get(TRAINED_UNTIL)
    return Network(
        actor=_compiled("actor", manifest["shape"], prefixes, tensors),
        critic=_compiled("critic", manifest["shape"], prefixes, tensors),
        environment=EnvironmentConfig.model_validate(manifest["environment"]),
        statistics=FeatureStatistics.from_dict(manifest["statistics"]),
        digest=manifest["digest"],
        trained_until=None if noted is None else str(noted),
    )


def _compiled(part: str, shape: Mapping[str, Any], prefixes: list[str], tensors: Tensors) -> CompiledPolicy:
    """Return the actors or the critics of the members, as compiling.compile_policy() does from torch's modules."""
    size, normalises = int(shape["observation_size"]), bool(shape["normalises_observations"])
    outputs = int(shape["action_count"]) if part == "actor" else 1
    layers = range(len(shape["hidden_sizes"]) + 1)
    names = [f"network.{part}.{kind}.{layer}" for kind in ("weights", "biases") for layer in layers]
    means, scales = np.zeros((len(prefixes), size), np.float32), np.ones((len(prefixes), size), np.float32)
    if normalises:
        for number, prefix in enumerate(prefixes):
            means[number] = tensors[f"{prefix}observations.mean"]
            scales[number] = observation_scale(tensors[f"{prefix}observations.variance"])
    parameters = [np.concatenate([tensors[prefix + name].ravel() for name in names]) for prefix in prefixes]
    return CompiledPolicy(
        parameters=np.stack(parameters),
        sizes=np.array([size, *shape["hidden_sizes"], outputs]),
        means=means,
        scales=scales,
        clip=OBSERVATION_CLIP if normalises else np.inf,
        first_action=int(shape["first_action"]),
    )
