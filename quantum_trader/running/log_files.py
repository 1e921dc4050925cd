"""The output of services under `up`: shown on the console, and stored in files of bounded size."""

import os
from contextlib import suppress
from pathlib import Path

# Older files of each service, besides the current one.
OLDER_FILES = 4
PIECE_BYTES = 65_536


class LogFile:
    """A pipe that a service writes to. Its content goes to the console and to a file, which is rotated.

    One process writes the file, so a rotation loses nothing. The pipe stays open when the service is started again.
    """

    def __init__(self, path: Path, largest: int, console: int) -> None:
        self.output, self.input = os.pipe()
        os.set_blocking(self.output, False)
        self._path, self._largest, self._console = path, largest, console

    def pass_on(self) -> None:
        """Write what the service has written since the last call. A full disk or a closed console is tolerated."""
        with suppress(BlockingIOError):
            while data := os.read(self.output, PIECE_BYTES):
                with suppress(OSError):
                    os.write(self._console, data)
                with suppress(OSError):
                    self._store(data)

    def _store(self, data: bytes) -> None:
        if self._path.exists() and self._path.stat().st_size + len(data) > self._largest:
            for number in range(OLDER_FILES, 1, -1):
                with suppress(FileNotFoundError):
                    self._numbered(number - 1).replace(self._numbered(number))
            self._path.replace(self._numbered(1))
        with self._path.open("ab") as file:
            file.write(data)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def close(self) -> None:
        self.pass_on()
        os.close(self.output)
        os.close(self.input)
