"""The stored evaluations of policy versions, as the conditions about results need them."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import F
from django.db.models.fields.json import KeyTextTransform, KeyTransform

from rl_training.alerts.facts import NO_POLICY, newest_of_each
from rl_training.models import PolicyVersion


@dataclass(frozen=True)
class EvaluatedVersion:
    """The results of a version on held-out bars, and the training run that made the version.

    A result is None where the evaluation does not hold it, because other releases stored other evaluations. Versions
    with the same `setting` (market, training share and episode length) can be compared.
    """

    number: int
    run: int
    avg_reward: float | None
    total_return: float | None
    flat_return: float | None
    holding_return: float | None
    turnover: float | None
    time_in_market: float | None
    bars: int | None
    setting: tuple[Any, ...]
    environment: dict[str, Any]


def last_versions(policies: Sequence[int], number: int) -> Iterator[tuple[int, list[EvaluatedVersion]]]:
    """Yield each policy's id with its last `number` versions, newest first.

    The database extracts the results from the evaluations, whose equity curves are large.
    """
    columns = (
        *(KeyTextTransform(key, "evaluation") for key in ("total_return", "turnover", "time_in_market", "bars")),
        *(KeyTextTransform("total_return", KeyTransform(name, "evaluation")) for name in ("flat", "buy_and_hold")),
        KeyTextTransform("name", F("run__market_summary")),
        KeyTextTransform("train_fraction", KeyTransform("market", F("run__config"))),
        KeyTextTransform("environment", F("run__config")),
    )
    versions = PolicyVersion.objects.filter(policy_id=NO_POLICY).order_by("-number")
    selected = versions.values_list("policy_id", "number", "run_id", "run__avg_reward", *columns)
    for policy, rows in newest_of_each(selected[:number], policies):
        yield policy, [_version(*row) for row in rows]


def _version(
    number: int,
    run: int,
    avg_reward: float | None,
    total_return: Any,
    turnover: Any,
    time_in_market: Any,
    bars: Any,
    flat_return: Any,
    holding_return: Any,
    market: Any,
    train_fraction: Any,
    environment: Any,
) -> EvaluatedVersion:
    settings = _mapping(environment)
    bars_or_none = _number(bars)
    return EvaluatedVersion(
        number=number,
        run=run,
        avg_reward=avg_reward,
        total_return=_number(total_return),
        flat_return=_number(flat_return),
        holding_return=_number(holding_return),
        turnover=_number(turnover),
        time_in_market=_number(time_in_market),
        bars=None if bars_or_none is None else int(bars_or_none),
        setting=(market, _number(train_fraction), settings.get("episode_length")),
        environment=settings,
    )


def _number(value: Any) -> float | None:
    """Return the finite number that PostgreSQL gives as text and SQLite as a number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _mapping(text: Any) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
