"""Decorators by which numba compiles the inner loops: on first use, without the GIL, cached on disk.

The cache is a folder in NUMBA_CACHE_DIR if that is set, otherwise in `__pycache__` beside this file. Where that cannot
be written, numba uses the user's cache directory.
"""

import hashlib
from pathlib import Path
from typing import Any

import numba


def digest_of_sources() -> str:
    """Return the SHA-256, in hex, of all source files of core, in subfolders too, in the order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def cache_by_source() -> None:
    """Set numba's cache to a folder whose name holds the digest of the sources.

    By itself, numba compares only the file of the compiled function. After an update of the project it would reuse a
    cached function that contains an old version of a function from another file.
    """
    config: Any = numba.config
    root = Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__")
    config.CACHE_DIR = str(root / f"compiled-{SOURCES_DIGEST[:16]}")


# Of the sources that this process runs: a source that changes later has no effect on it.
SOURCES_DIGEST = digest_of_sources()
cache_by_source()

# Division by zero gives infinity or NaN by IEEE 754, as in numpy, instead of an exception.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

# The same, but sums may be reordered so that the compiler can vectorise them. NaN and infinity keep their meaning.
compiled_reordering = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
)
