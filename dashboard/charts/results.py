"""The held-out results of policy versions: read, compared in words, and drawn over versions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from dashboard.charts.markets import by_market
from dashboard.charts.series import Chart, Colour, Value, drawn
from dashboard.templatetags.figures import percent
from rl_training.models import PolicyVersion

# The chart and the table of a policy show so many of its newest versions.
VERSIONS_CHARTED, VERSIONS_LISTED = 200, 6
COLUMNS = (
    "number",
    "created_at",
    "market",
    "held_out_bars",
    "held_out_return",
    "buy_and_hold_return",
    "flat_return",
    "run__avg_reward",
)


@dataclass(frozen=True)
class Result:
    """The total returns of a version and of its references on held-out bars, None when unknown.

    `reward` is the mean log return of the run's episodes on training bars; `market` is empty when unknown.
    """

    number: int
    created_at: datetime
    market: str
    bars: int | None
    reward: Value
    policy: Value
    hold: Value
    flat: Value

    @property
    def standing(self) -> tuple[str, str]:
        """Return good, warn or bad, and how the version stands beside flat and buy and hold."""
        if self.policy is None or self.hold is None or self.flat is None:
            return "", ""
        above = [name for name, other in (("flat", self.flat), ("buy and hold", self.hold)) if self.policy > other]
        if len(above) == 2:
            return "good", "above flat and buy and hold"
        return ("warn", f"above {above[0]} only") if above else ("bad", "above neither flat nor buy and hold")

    def __str__(self) -> str:
        if self.policy is None:
            return f"No evaluation is stored with version {self.number}."
        bars = f"{self.bars:,} " if self.bars else ""
        text = f"Version {self.number} returned {percent(self.policy)} on {bars}held-out bars"
        text += f" of {self.market}" if self.market else ""
        references = (("staying flat", self.flat), ("buy and hold", self.hold))
        compared = [
            f"{_than(self.policy, other)} {name} ({percent(other)})" for name, other in references if other is not None
        ]
        return f"{text}: {' and '.join(compared)}." if compared else f"{text}."


def _than(value: float, other: float) -> str:
    return "as much as" if value == other else "more than" if value > other else "less than"


def newest_results(policies: Sequence[int], versions: int) -> dict[int, list[Result]]:
    """Return the results of the newest versions of each policy by its id, the oldest version first."""
    of_policies = PolicyVersion.objects.filter(policy__in=policies)
    wanted = Q()
    for pk, newest in of_policies.order_by().values_list("policy").annotate(Max("number")):
        wanted |= Q(policy=pk, number__gt=newest - versions)
    if not wanted:
        return {}
    found: dict[int, list[Result]] = {}
    rows: Any = PolicyVersion.objects.filter(wanted).order_by("number").values("policy_id", *COLUMNS)
    for row in rows:
        found.setdefault(row["policy_id"], []).append(result_of(row))
    return found


def result_of(row: Mapping[str, Any]) -> Result:
    """Return the result in a row with `COLUMNS` of a version."""
    return Result(
        number=row["number"],
        created_at=row["created_at"],
        market=row["market"],
        bars=row["held_out_bars"],
        reward=drawn(row["run__avg_reward"]),
        policy=drawn(row["held_out_return"]),
        hold=drawn(row["buy_and_hold_return"]),
        flat=drawn(row["flat_return"]),
    )


def held_out(results: Sequence[Result]) -> Chart:
    """Return the chart of the held-out returns over versions; no line joins versions of different markets."""
    markets = [result.market for result in results]
    lines: tuple[tuple[str, list[Value], tuple[Colour, ...]], ...] = (
        ("Policy", [result.policy for result in results], ("policy", "third", "fourth")),
        ("Buy and hold", [result.hold for result in results], ("reference",)),
        ("Flat", [result.flat for result in results], ("quiet",)),
    )
    series = [one for label, values, colours in lines for one in by_market(label, values, markets, "line", colours)]
    measured = [result for result in results if result.policy is not None]
    better = sum(result.standing[0] == "good" for result in measured)
    text = f"{len(measured):,} versions, {better:,} of them above flat and buy and hold." if len(measured) > 1 else ""
    summary = f"{text} {measured[-1]}".strip() if measured else "There is nothing to show yet."
    numbers = [result.number for result in results]
    return Chart(
        "Held-out return of each version", summary, "Version", numbers, tuple(series), "percent", x_form="count"
    )
