"""Describes how bars were read: what was found, repaired, dropped and suspicious. A run stores the counts."""

from dataclasses import dataclass, field
from typing import Any

# Kinds of repairs, drops and suspicions, in words.
WORDS = {
    "sorted": "rows put into time order",
    "rounding": "highs or lows moved by a rounding step",
    "volume_missing": "empty volumes read as 0",
    "repeated_headers": "repeated headers dropped",
    "null_rows": "rows without prices dropped",
    "duplicate_rows": "identical rows dropped",
    "other_instruments": "rows of other instruments left out",
    "bad_rows": "invalid rows dropped",
    "bad_ticks": "bad ticks dropped",
    "column_values": "rows dropped without a number in a column that is a feature",
    "split": "lasting jumps as of an unadjusted split",
    "bad_tick": "bars far from their neighbours",
    "changed_spacing": "stretches with another bar spacing",
    "stale": "long stretches of one price",
    "volume_zero": "bars with volume 0 whose price moved",
}


@dataclass(frozen=True)
class Suspicion:
    """Bars whose prices may be wrong: their number, and the first of them as ISO timestamps with a description."""

    count: int
    examples: tuple[str, ...] = ()
    times: tuple[str, ...] = ()


@dataclass(frozen=True)
class MarketReading:
    """The way a market was read. `columns` maps each role to its column; `zone` says how the times were interpreted.

    `further` maps each column without a role to the reason why it can be no feature, empty if it can be; only a check
    fills it in. `instruments`: whether the file names the instrument of its bars.
    """

    layout: str = ""
    compression: str = ""
    separator: str = ""
    decimal: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    further: dict[str, str] = field(default_factory=dict)
    zone: str = ""
    notes: tuple[str, ...] = ()
    repairs: dict[str, int] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    suspicions: dict[str, Suspicion] = field(default_factory=dict)
    instruments: bool = False

    def summary(self) -> dict[str, Any]:
        """Return the counts that a run stores, as JSON; parts without content are left out."""
        summary = {
            "layout": self.layout,
            "zone": self.zone,
            "repairs": self.repairs,
            "drops": self.drops,
            "suspicions": {kind: suspicion.count for kind, suspicion in self.suspicions.items()},
            "unused": list(self.unused),
            "notes": list(self.notes),
        }
        return {key: value for key, value in summary.items() if value}
