"""The progress of a run that trains in this process."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rl_training.models import PolicyVersion

if TYPE_CHECKING:
    from rl_training.core.run.curves import RunCurves
    from rl_training.core.run.tally import Tally


@dataclass(frozen=True)
class RunStart:
    """The start of a training: a version, or None for scratch.

    note   why `version` is not the run's initial version, or another fact for the user
    """

    version: PolicyVersion | None
    note: str = ""

    @property
    def version_id(self) -> int | None:
        return self.version.pk if self.version else None


@dataclass
class RunProgress:
    """Columns of the run's row. Training sets them; the owner's thread writes them with each heartbeat.

    A column is None, and is not written, until this attempt knows its value: the row may hold a value of an earlier
    attempt.
    """

    iterations_done: int | None = None
    episodes_done: int | None = None
    environment_steps: int | None = None
    market_summary: dict[str, Any] | None = None
    bars_digest: str | None = None
    computing_environment: dict[str, Any] | None = None
    start: RunStart | None = None  # fills two columns
    _curves: "RunCurves | None" = field(default=None, init=False)  # fills `curve`
    _tally: "Tally | None" = field(default=None, init=False)

    def follow(self, curves: "RunCurves", tally: "Tally | None" = None) -> None:
        """Set the curves and sums that training adds to."""
        self._curves, self._tally = curves, tally

    def columns(self) -> dict[str, Any]:
        """Return the columns whose values are known, except the large `curve`."""
        start, others = self.start, ("start", "_curves", "_tally")
        columns = {name: value for name, value in vars(self).items() if name not in others and value is not None}
        return columns if start is None else columns | {"started_from_id": start.version_id, "start_note": start.note}

    def all_columns(self) -> dict[str, Any]:
        """Return the columns whose values are known."""
        return self.columns() | ({} if self._curves is None else {"curve": self._curves.as_dict()})

    def results(self) -> dict[str, Any] | None:
        """Return the columns of the rewards and losses so far, for a run that fails; None before training begins."""
        return None if self._tally is None else self._tally.results()
