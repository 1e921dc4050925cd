"""The networks of policy versions, kept in memory by the digest of their weights."""

import tempfile
from functools import lru_cache
from pathlib import Path

from rl_training.core.deciding.network import Network, load_network
from rl_training.core.sealed import CheckpointError
from rl_training.files import artifacts
from rl_training.models import PolicyVersion

# A network of three members of the default size takes an eighth of a megabyte.
KEPT = 2_000


class NetworkError(Exception):
    """The weights of a version cannot be read. The message says why."""


def network_of(version: PolicyVersion) -> Network:
    """Return the network of a version. Raises `NetworkError`."""
    try:
        network = _load(version.artifact, version.sha256)
    except (OSError, CheckpointError) as error:
        raise NetworkError(f"version {version.number} cannot be read: {error}") from error
    if network.digest != version.sha256:
        raise NetworkError(f"the files of version {version.number} hold other weights now")
    return network


@lru_cache(KEPT)
def _load(artifact: str, sha256: str) -> Network:
    with tempfile.TemporaryDirectory() as folder:
        artifacts.fetch(artifact, Path(folder))
        return load_network(Path(folder))
