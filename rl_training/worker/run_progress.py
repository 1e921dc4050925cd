"""The progress of a run that trains in this process."""

from dataclasses import asdict, dataclass
from typing import Any


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

    def columns(self) -> dict[str, Any]:
        """Return the columns whose values are known."""
        return {name: value for name, value in asdict(self).items() if value is not None}
