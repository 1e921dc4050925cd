"""A server that accepts connections and never answers."""

import contextlib
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path


class Stalled:
    """Listens without accepting: the kernel completes the connections."""

    def __init__(self, path: Path) -> None:
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(path))
        self.server.listen(64)
        self.server.setblocking(False)
        self._connections: list[socket.socket] = []

    def accepted(self) -> int:
        """Return the number of connections so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._connections.append(self.server.accept()[0])
        return len(self._connections)


@contextlib.contextmanager
def listener(path: Path) -> Iterator[Stalled]:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    stalled = Stalled(path)
    try:
        yield stalled
    finally:
        stalled.accepted()
        for connection in (*stalled._connections, stalled.server):
            connection.close()
        shutil.rmtree(path.parent, ignore_errors=True)
