"""The progress of a run that trains in this process."""

from dataclasses import dataclass
from typing import Any

from rl_training.models import PolicyVersion


@dataclass(frozen=True)
class RunStart:
    """What training started from: a version, or None for scratch.

    note   why that is not the run's initial version, or what a user should know about it
    """

    version: PolicyVersion | None
    note: str = ""

    @property
    def version_id(self) -> int | None:
        return self.version.pk if self.version else None


@dataclass
class RunProgress:
    """Columns of the run's row. Training sets them; the owner's thread writes them with each heartbeat.

    A column is None until this attempt knows its value, and is not written until then: the row may hold a value of an
    earlier attempt.
    """

    iterations_done: int | None = None
    episodes_done: int | None = None
    environment_steps: int | None = None
    market_summary: dict[str, Any] | None = None
    start: RunStart | None = None  # fills two columns

    def columns(self) -> dict[str, Any]:
        """Return the columns whose values are known."""
        start = self.start
        columns = {name: value for name, value in vars(self).items() if name != "start" and value is not None}
        return columns if start is None else columns | {"started_from_id": start.version_id, "start_note": start.note}
