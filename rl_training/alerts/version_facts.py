"""The results of policy versions that the conditions about versions need."""

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

    A result is None where the evaluation lacks it, because other releases stored other evaluations. Versions with the
    same `setting` (market, training share and episode length) can be compared.
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
    """Yield each policy's id with its last `number` versions, newest first."""
    columns = (
        *("held_out_return", "turnover", "time_in_market", "held_out_bars", "flat_return", "buy_and_hold_return"),
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
    total_return: float | None,
    turnover: float | None,
    time_in_market: float | None,
    bars: int | None,
    flat_return: float | None,
    holding_return: float | None,
    market: Any,
    train_fraction: Any,
    environment: Any,
) -> EvaluatedVersion:
    settings = _mapping(environment)
    return EvaluatedVersion(
        number=number,
        run=run,
        avg_reward=avg_reward,
        total_return=total_return,
        flat_return=flat_return,
        holding_return=holding_return,
        turnover=turnover,
        time_in_market=time_in_market,
        bars=bars,
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
