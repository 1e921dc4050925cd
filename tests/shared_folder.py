"""The folder that all processes of a test run share, with what the first of them makes for the others."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "TEST_RUN_FOLDER"
TEST_RUN = "TEST_RUN_PID"


def create() -> None:
    """Create the folder, before the parallel workers of this process inherit the environment."""
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="quantum-run-")
    os.environ[TEST_RUN] = str(os.getpid())


def remove() -> None:
    shutil.rmtree(os.environ[FOLDER], ignore_errors=True)


def path(name: str) -> Path:
    """Return the path of an entry of the folder."""
    return Path(os.environ[FOLDER]) / name


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process of the test run at a time execute the block."""
    with path(f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
