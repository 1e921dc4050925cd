"""Decorators by which numba compiles the inner loops: on first use, without the GIL, cached on disk.

The cache is a folder in NUMBA_CACHE_DIR if that is set, otherwise in `__pycache__` beside this file. Where that cannot
be written, numba uses the user's cache directory.
"""

import hashlib
from pathlib import Path
from typing import Any

import numba


def cache_by_source() -> None:
    """Set numba's cache to a folder whose name is a digest of all source files of core, in subfolders too.

    By itself, numba compares only the file of the compiled function. After an update of the project it would reuse a
    cached function that contains an old version of a function from another file.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    config: Any = numba.config
    root = Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__")
    config.CACHE_DIR = str(root / f"compiled-{digest.hexdigest()[:16]}")


cache_by_source()

# Division by zero gives infinity or NaN by IEEE 754, as in numpy, instead of an exception.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

# The same, but sums may be reordered so that the compiler can vectorise them. NaN and infinity keep their meaning.
compiled_reordering = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
)
