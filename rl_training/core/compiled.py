"""How numba compiles the project's inner loops: on first use, kept on disk for later processes, without the GIL.

Where it keeps them: NUMBA_CACHE_DIR if set, else beside the source where that can be written, else in the user's cache.
"""

import numba

# Division by zero gives what IEEE 754 says, as in numpy.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")

# Besides, sums may be taken in any order, so that they can be vectorised. NaN and infinity keep their meaning.
compiled_reordering = numba.njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
)
