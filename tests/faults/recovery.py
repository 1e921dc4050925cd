"""Recovery times and losses of the fault cases, printed as one table at the end of the test run."""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from benchmarks.results.markdown import aligned
from tests.faults.system import RECOVERY_SECONDS

HEADINGS = ("fault", "tries", "failed", "lost", "doubled", "recovery, median", "worst")
MEASURED = "fault measured"


@dataclass
class Recovery:
    """Times from a fault, or from a dependency's return, to resumed work; a case may measure several."""

    seconds: list[float] = field(default_factory=list)
    _since: float = 0.0

    def begins(self) -> None:
        self._since = time.monotonic()

    def ends(self) -> None:
        self.seconds.append(time.monotonic() - self._since)
        assert self.seconds[-1] <= RECOVERY_SECONDS


def name_of(node: pytest.Function) -> str:
    """Return the name of the case, without the number of its repetition."""
    words = node.originalname.removeprefix("test_").replace("_", " ")
    chosen = node.callspec.id if hasattr(node, "callspec") and "chance" not in node.callspec.params else ""
    return f"{words} ({chosen})" if chosen else words


def table(reports: Iterable[Any]) -> str:
    """Return a table with one line for each case; "" without cases."""
    measured: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == MEASURED and report.when == "teardown":
                measured[value["fault"]].append(value)
    return aligned([HEADINGS, *(line(fault, tries) for fault, tries in sorted(measured.items()))]) if measured else ""


def line(fault: str, tries: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    seconds = [second for found in tries for second in found["seconds"]]
    totals = (str(sum(found[what] for found in tries)) for what in ("failed", "lost", "doubled"))
    times = (f"{statistics.median(seconds):.1f} s", f"{max(seconds):.1f} s") if seconds else ("-", "-")
    return fault, str(len(tries)), *totals, *times
