"""The returns of all accounts of a walk-forward, as a file in the artifact storage.

Each test can be computed again from these returns, and the guards' limits follow from them.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from rl_training.core.run.walk_forward.verdict import WALK_FORWARD
from rl_training.files import artifacts
from rl_training.models import Validation

# Not imported from core.trading.accounting, which loads numba: 35 MB in each process of Celery.
FloatArray = npt.NDArray[np.float64]

if TYPE_CHECKING:
    from rl_training.core.run.walk_forward.stitching import Stitched

FILE = "accounts.safetensors"


class AccountsUnreadableError(Exception):
    """The stored returns cannot be read; the message says why."""


@dataclass(frozen=True)
class Accounts:
    """The accounts of a walk-forward.

    names       of the accounts
    timestamps  of the traded bars, [bars]
    changes     of log equity, [bars, accounts]
    """

    names: tuple[str, ...]
    timestamps: npt.NDArray[np.datetime64]
    changes: FloatArray

    @classmethod
    def of(cls, stitched: "Stitched") -> "Accounts":
        return cls(stitched.names, stitched.timestamps[1:], stitched.changes)

    def change(self, name: str) -> FloatArray:
        """Return the change of log equity of one account, [bars]."""
        return self.changes[:, self.names.index(name)]

    def difference(self, reference: str) -> FloatArray:
        """Return the walk-forward's change of log equity minus that of a reference, [bars]."""
        return self.change(WALK_FORWARD) - self.change(reference)

    def after(self, time: np.datetime64) -> "Accounts":
        """Return the accounts on the bars after `time`."""
        later = self.timestamps > time
        return Accounts(self.names, self.timestamps[later], self.changes[later])


def as_bytes(accounts: Accounts) -> bytes:
    """Return the content of the file. Equal accounts have equal content."""
    tensors = {"timestamps": accounts.timestamps.astype("<i8"), "changes": np.ascontiguousarray(accounts.changes)}
    return save(tensors, metadata={"names": json.dumps(accounts.names)})


def store(folder: Path, name: str, accounts: Accounts) -> tuple[str, str]:
    """Write the accounts into `folder` and store them under `name`; return the name and the SHA-256 of the file."""
    data = as_bytes(accounts)
    (folder / FILE).write_bytes(data)
    return artifacts.store(folder, name), hashlib.sha256(data).hexdigest()


def read(validation: Validation) -> Accounts:
    """Return the accounts of a validation. Raises `AccountsUnreadableError`, and `OSError` of the storage."""
    try:
        data = artifacts.read(validation.accounts, FILE)
    except FileNotFoundError as error:
        raise AccountsUnreadableError(f"The accounts of validation {validation} are missing.") from error
    if hashlib.sha256(data).hexdigest() != validation.accounts_sha256:
        raise AccountsUnreadableError(f"The accounts of validation {validation} are damaged.")
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        names = tuple(json.loads(header["__metadata__"]["names"]))
    except (SafetensorError, ValueError, KeyError) as error:
        raise AccountsUnreadableError(f"The accounts of validation {validation} cannot be read: {error}") from error
    return Accounts(names, tensors["timestamps"].astype("datetime64[s]"), tensors["changes"])
