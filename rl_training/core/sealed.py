"""Files with digests: JSON that holds the SHA-256 of its content, and the digest of a policy's tensors."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

# Older releases can read the format of a single policy, so a policy of several members has a second format.
POLICY_FORMAT, ENSEMBLE_FORMAT = 1, 2
TENSORS_FILE, MANIFEST_FILE = "policy.safetensors", "manifest.json"
CHECKPOINT_FORMAT = 4
# Formats 2 and 3 hold one member; format 2 holds the episode rewards as JSON. See Tally.load().
READABLE_CHECKPOINT_FORMATS = (2, 3, CHECKPOINT_FORMAT)
# The key of the JSON in the metadata of a checkpoint's safetensors.
CHECKPOINT_METADATA = "checkpoint"
# A key in the metadata of a policy; see SavedPolicy.trained_until.
TRAINED_UNTIL = "trained_until"


class CheckpointError(RuntimeError):
    """A policy or checkpoint cannot be written or read. The message names the file and the problem."""


def sealed(path: Path, number: int, content: dict[str, Any]) -> dict[str, Any]:
    """Return `content` with its format's number and its digest. Raises CheckpointError if JSON cannot hold it."""
    content = {"format": number, **content}
    try:
        return {"sha256": _json_digest(content), **content}
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be written: JSON cannot hold its content: {error}") from error


def unsealed(path: Path, readable: Sequence[int], text: bytes) -> dict[str, Any]:
    """Return the content of sealed JSON of a readable format. Raises CheckpointError."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise CheckpointError(f"{path}: damaged: not JSON: {error}") from error
    if not isinstance(content, dict) or content.get("format") not in readable:
        found = content.get("format") if isinstance(content, dict) else None
        numbers = ", ".join(map(str, readable[:-1])) + f" and {readable[-1]}"
        raise CheckpointError(f"{path}: format {found!r}; this program reads format {numbers}")
    if content.pop("sha256", None) != _json_digest(content):
        raise CheckpointError(f"{path}: damaged: SHA-256 of its content is not the one that was saved with it")
    return content


def digest_of_tensors(tensors: Iterable[tuple[str, str, Sequence[int], bytes]]) -> str:
    """Return the SHA-256, in hex, of the names, types, shapes and values of tensors, which come in name order."""
    digest = hashlib.sha256()
    for name, dtype, shape, values in tensors:
        digest.update(json.dumps([name, dtype, list(shape)]).encode() + b"\n")
        digest.update(values)
    return digest.hexdigest()


def digest_of_arrays(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return what checkpoint.tensor_digest() returns for the same tensors, given as numpy arrays."""
    # The digest was made from torch's names of types.
    return digest_of_tensors(
        (name, f"torch.{tensors[name].dtype.name}", tensors[name].shape, tensors[name].tobytes())
        for name in sorted(tensors)
    )


def load_checkpoint_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the tensors, as numpy arrays, and the state of checkpoint.save_checkpoint().

    The file is read once, so that both come from the same version. Raises CheckpointError if it is missing or damaged.
    """
    try:
        data = path.read_bytes()
        arrays = safetensors.numpy.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{path}: damaged: {error}") from error
    text = header.get("__metadata__", {}).get(CHECKPOINT_METADATA, "")
    content = unsealed(path, READABLE_CHECKPOINT_FORMATS, text.encode())
    if digest_of_arrays(arrays) != content["digest"]:
        raise CheckpointError(f"{path}: damaged: SHA-256 of the tensors is not the one that was saved with them")
    return arrays, content["state"]


def _json_digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, allow_nan=False).encode()).hexdigest()
