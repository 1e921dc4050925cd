"""Rows of validations for tests."""

from functools import partial
from itertools import chain, repeat
from typing import Any

import numpy as np
from django.utils import timezone

from rl_training import settings_change
from rl_training.core.market.bars import MarketData
from rl_training.models import PolicyStore, Validation, ValidationStep
from rl_training.validation import requesting, steps
from rl_training.validation.requesting import Options
from rl_training.worker import validating

# A planted market with structure, and a recipe that is trained within a second.
SMALL = {
    "seeds": 1,
    "episodes_per_run": 2,
    "market": {"source": "planted", "bars": 800},
    "environment": {"episode_length": 32},
    "ppo": {"num_envs": 8, "rollout_length": 16, "minibatch_size": 64, "hidden_sizes": [8]},
}


def request_validation(policy: PolicyStore, **options: Any) -> Validation:
    """Request a validation of the policy without notifying a worker."""
    return requesting.request(policy, Options(**options), send_message=False)


def store_validation(policy: PolicyStore, *, validation_id: str = "", **options: Any) -> Validation:
    """Request a validation, with this id if one is given, as a trial of the policy's recipe."""
    validation = request_validation(policy, **options)
    if validation_id:
        Validation.objects.filter(pk=validation.pk).update(validation_id=validation_id)
        validation.refresh_from_db()
    return validation


def trial_number(validation: Validation) -> int:
    assert validation.trial is not None
    return validation.trial.number


def queued_steps(validation: Validation) -> list[ValidationStep]:
    return list(validation.steps.filter(status="queued").order_by("pk"))


def claim_next(validation: Validation) -> ValidationStep:
    """Claim the validation's next step, as a worker does."""
    claimed = steps.claim(queued_steps(validation)[0].step_id)
    assert claimed is not None
    return claimed


def small_policy(name: str = "small", **changes: Any) -> PolicyStore:
    """Return a stored policy whose recipe is trained within a second."""
    return settings_change.create(name, SMALL | changes)


def compute(validation: Validation, attempts: int = 1) -> Validation:
    """Do every step of the validation in this process; each fold is stopped in all its `attempts` except the last."""
    while waiting := queued_steps(validation):
        claimed = steps.claim(waiting[0].step_id)
        assert claimed is not None
        # One iteration, then a stop.
        stops = chain([False], repeat(True))
        last = claimed.attempt >= attempts or claimed.kind != ValidationStep.Kind.FOLD
        validating.execute(claimed, partial(next, repeat(False) if last else stops))
    return Validation.objects.select_related("policy", "trial", "monitored").get(pk=validation.pk)


def succeed_validation(validation: Validation, verdict: str = "validated", **columns: Any) -> Validation:
    """Store a verdict without a computation."""
    trial = validation.trial
    numbers = {"p_above": {"flat": 0.001, "buy_and_hold": 0.002}, "level": trial.level if trial else None}
    judgement = {"outcome": verdict, "sentence": f"{verdict.capitalize()}.", **numbers}
    ended = {"status": "succeeded", "finished_at": timezone.now(), "verdict": verdict, "judgement": judgement}
    Validation.objects.filter(pk=validation.pk).update(**ended | columns)
    validation.steps.update(status="succeeded")
    return Validation.objects.select_related("policy", "trial", "monitored").get(pk=validation.pk)


def reversed_bars(market: MarketData) -> MarketData:
    """Return other bars at the same times: the prices in the reverse order."""
    prices = {name: np.ascontiguousarray(getattr(market, name)[::-1]) for name in ("high", "low", "volume")}
    return MarketData(market.timestamp, open=market.close[::-1].copy(), close=market.open[::-1].copy(), **prices)
