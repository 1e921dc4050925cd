"""The output of a service's process."""

import json
from pathlib import Path
from typing import Any

from tests.waiting import wait_for


class Console:
    """The JSON lines that a process writes to the file at `path`. Each line is returned once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def entries(self) -> list[dict[str, Any]]:
        """Return the objects of the complete lines since the last call; other text is skipped."""
        with self.path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{")]

    def wait_for(self, event: str, number: int = 1, seconds: float = 120) -> list[dict[str, Any]]:
        """Return the next entries whose event starts with `event`, once there are at least `number` such entries.

        Raises TimeoutError after `seconds`.
        """
        found: list[dict[str, Any]] = []

        def all_there() -> bool:
            found.extend(entry for entry in self.entries() if str(entry.get("event", "")).startswith(event))
            return len(found) >= number

        wait_for(all_there, f"{number} lines with {event!r} in {self.path.name}", seconds)
        return found
