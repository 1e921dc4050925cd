"""How numba compiles the project's inner loops: on first use, kept on disk for later processes, without the GIL.

Where it keeps them: in NUMBA_CACHE_DIR if set, else beside the source where that can be written, else in the user's
cache.
"""

import hashlib
from pathlib import Path
from typing import Any

import numba


def keep_by_source() -> None:
    """Keep what is compiled in a folder of this very source.

    By itself, numba looks at a function's own file: one that calls another in a file that was changed, as by an update
    of the project, would go on with the old one.
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    config: Any = numba.config
    root = Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__")
    config.CACHE_DIR = str(root / f"compiled-{digest.hexdigest()[:16]}")


keep_by_source()

# Division by zero gives what IEEE 754 says, as in numpy.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

# Besides, sums may be taken in any order, so that they can be vectorised. NaN and infinity keep their meaning.
compiled_reordering = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
)
