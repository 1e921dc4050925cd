"""The result of a comparison, in words and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rl_training.models import Comparison
from rl_training.versions.naming import name_of

BASIS_POINTS = 1e4


@dataclass(frozen=True)
class Pair:
    """Two accounts, `better` and `worse` by their earnings. Numbers are log-equity changes in basis points per bar.

    of_versions  whether both accounts are of versions; else `worse` or `better` is a reference
    """

    better: str
    worse: str
    mean: float
    low: float
    high: float
    of_versions: bool

    @property
    def distinguishable(self) -> bool:
        """Whether the 95 % interval excludes 0."""
        return self.low > 0 or self.high < 0

    @property
    def verdict(self) -> str:
        """Whether the difference can be distinguished from chance, in words."""
        return "distinguishable" if self.distinguishable else "not distinguishable"

    @property
    def numbers(self) -> str:
        return f"{self.mean:.2g} bp per bar (95 %: {self.low:.2g} to {self.high:.2g})"


def pairs_of(result: Any) -> list[Pair]:
    """Return the pairs of accounts of a stored result, in its order; empty when it has none."""
    result = result if isinstance(result, dict) else {}
    accounts = result.get("accounts", [])
    found = []
    for difference in result.get("differences", []):
        account, other = accounts[difference["account"]], accounts[difference["other"]]
        mean, low, high = (BASIS_POINTS * difference[name] for name in ("mean", "low", "high"))
        names = (account["name"], other["name"])
        if mean < 0:
            names, mean, low, high = names[::-1], -mean, -high, -low
        # Adding 0.0 removes the sign of a negative zero.
        found.append(Pair(*names, mean + 0.0, low + 0.0, high + 0.0, not other["reference"]))
    return found


def best_pair(pairs: Sequence[Pair]) -> Pair | None:
    """Return the pair of the version that earned most and the second best version; None without versions."""
    of_versions = [pair for pair in pairs if pair.of_versions]
    losers = {pair.worse for pair in of_versions if pair.mean > 0}
    won = [pair for pair in of_versions if pair.better not in losers] or of_versions
    return min(won, key=lambda pair: pair.mean, default=None)


def answer(comparison: Comparison) -> str:
    """Return whether the best version is better than the second, with the numbers, as a sentence.

    For a comparison without a result, the sentence is about its status.
    """
    match comparison.status:
        case Comparison.Status.FAILED:
            return f"The comparison failed: {comparison.error}"
        case Comparison.Status.CANCELLED:
            return "The comparison was cancelled."
        case Comparison.Status.QUEUED:
            return "The comparison waits for a worker."
        case Comparison.Status.RUNNING:
            return "A worker computes the comparison."
    pair = best_pair(pairs_of(comparison.result))
    if pair is None:
        return "The result is stored unreadable."
    bars = f"on these {comparison.bars:,} bars"
    if pair.mean == pair.low == pair.high == 0:
        return f"{pair.better} and {pair.worse} earned the same {bars}."
    return f"{pair.better} earned more than {pair.worse} by {pair.numbers}: {pair.verdict} {bars}."


def report(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison as the command prints it, without its curves."""
    times = {name: getattr(comparison, name) for name in ("requested_at", "finished_at", "bars_first", "bars_last")}
    return {
        "comparison_id": comparison.comparison_id,
        "status": comparison.status,
        "versions": [name_of(version) for version in comparison.compared()],
        "market": comparison.market,
        "bars": comparison.bars,
        **{name: time.isoformat() if time else None for name, time in times.items()},
        "bars_digest": comparison.bars_digest,
        "answer": answer(comparison),
        "error": comparison.error,
        "differences": [
            {"better": pair.better, "worse": pair.worse, "bp_per_bar": pair.mean, "interval": [pair.low, pair.high]}
            for pair in pairs_of(comparison.result)
        ],
    }
