"""The held-out results of policy versions: read, compared in words, and drawn over versions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, Q

from dashboard.charts.markets import by_market
from dashboard.charts.series import Chart, Colour, Value, drawn
from dashboard.templatetags.figures import percent
from rl_training.models import PolicyVersion

# The charts of a policy show this number of its newest versions.
VERSIONS_CHARTED = 200
EPISODE_LENGTH = "run__config__environment__episode_length"
COLUMNS = (
    "number",
    "created_at",
    "market",
    "held_out_bars",
    "held_out_return",
    "buy_and_hold_return",
    "flat_return",
    "held_back",
    "run__avg_reward",
)


@dataclass(frozen=True)
class Result:
    """The total returns of a version and of its references on held-out bars, None when unknown.

    `reward` is the mean log return of the run's episodes on training bars; `market` is empty when unknown. `held_back`
    is why the gate holds the version back, empty if it does not.
    """

    number: int
    created_at: datetime
    market: str
    bars: int | None
    reward: Value
    policy: Value
    hold: Value
    flat: Value
    held_back: str = ""

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
        held_back=row["held_back"],
    )


def result_of_version(version: PolicyVersion) -> Result:
    """Return the result of a version, without the reward of its run."""
    row = {name: getattr(version, name) for name in COLUMNS if "__" not in name}
    return result_of(row | {"run__avg_reward": None})


def rewards(policy: int) -> Chart:
    """Return the chart of the training and the held-out rewards of the newest versions of the policy with this id.

    Both are log returns in basis points per bar: the mean of the episodes of the run, and of the bars of the
    evaluation. No line joins versions of different markets.
    """
    columns = ("number", "market", "held_out_bars", "held_out_return", "run__avg_reward", EPISODE_LENGTH)
    newest = PolicyVersion.objects.filter(policy=policy).order_by("-number").values_list(*columns)[:VERSIONS_CHARTED]
    rows = list(newest)[::-1]
    markets = [market for _, market, *_ in rows]
    training = [_per_bar(reward, length) for *_, reward, length in rows]
    later = [_per_bar(_log(found), bars) for _, _, bars, found, *_ in rows]
    lines: tuple[tuple[str, list[Value], tuple[Colour, ...]], ...] = (
        ("Training", training, ("third", "fourth", "quiet")),
        ("Held-out", later, ("policy", "reference")),
    )
    series = [one for label, values, colours in lines for one in by_market(label, values, markets, "line", colours)]
    both = [pair for pair in zip(training, later, strict=True) if None not in pair]
    summary = (
        "Log return in basis points per bar, after costs: mean of the training episodes, mean of the held-out bars."
    )
    if both:
        first, last = (f"{pair[0]:.3g} and {pair[1]:.3g}" for pair in (both[0], both[-1]))
        summary = f"Training and held-out: {last} in the newest version, {first} in the oldest one shown. {summary}"
    numbers = [number for number, *_ in rows]
    title = "Training and held-out reward of each version, bp per bar"
    return Chart(title, summary, "Version", numbers, tuple(series), x_form="count")


def _per_bar(value: Value, bars: Any) -> Value:
    """Return a log return over `bars` in basis points per bar; None when either is unknown."""
    known = drawn(value) is not None and isinstance(bars, int) and bars > 0
    return drawn(1e4 * value / bars) if known and value is not None else None


def _log(total_return: Value) -> Value:
    return math.log1p(total_return) if total_return is not None and total_return > -1 else None


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
