"""Rows for tests of the admin, the pages and the API."""

import json
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.utils import timezone

from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import (
    Arm,
    ArmComparison,
    Deployment,
    FollowedMarket,
    PolicyVersion,
    SlotRange,
    TrainingRun,
    Trial,
    Validation,
)
from rl_training.validation import gate, trials

MARKUP = "<script>alert('x')</script>"


def store_raw(policy, column, value):
    """Store a JSON value that the model would refuse."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE rl_training_policystore SET {column} = %s WHERE id = %s", [json.dumps(value), policy.pk]
        )


def finished_run(policy, **columns):
    columns = {"status": "succeeded", "trigger": "schedule", "episodes": 2, "config": {}} | columns
    return TrainingRun.objects.create(policy=policy, finished_at=timezone.now(), **columns)


def deploy(version, at=None):
    """Make a version live."""
    previous = version.policy.deployments.first()
    columns = {"action": "promote", "actor": "user", "reason": "It is the best one.", "previous": previous}
    return Deployment.objects.create(policy=version.policy, version=version, at=at or timezone.now(), **columns)


def version_to_continue(policy):
    """Store version 3, trained with default settings, from which the policy's next run continues."""
    policy.start_from = "newest"
    policy.save_settings("start_from")
    config = {"market": MarketConfig(), "environment": EnvironmentConfig(), "ppo": PPOConfig()}
    stored = {name: value.model_dump(mode="json") for name, value in config.items()}
    run = finished_run(policy, config=stored, market_summary={"bars": 5000})
    return PolicyVersion.objects.create(policy=policy, number=3, run=run, artifact="a", sha256="b", evaluation={})


def skip_slots(policy, first_slot=datetime(2026, 1, 1, tzinfo=UTC), slots=1, **columns):
    """Store a range of hourly slots that were skipped while the policy was disabled."""
    last = first_slot + (slots - 1) * timedelta(hours=1)
    columns = {"outcome": "skipped", "reason": "disabled", "last_slot": last, "next_slot": last} | columns
    return SlotRange.objects.create(policy=policy, first_slot=first_slot, slots=slots, interval_minutes=60, **columns)


def walked_forward(policy, verdict="validated", *, monitors=None, **columns):
    """Store a walk-forward of the policy's recipe: a trial, by default ended with the verdict, or one that monitors."""
    recipe, market = gate.recipe_of(policy), policy.market
    if monitors is None and "trial" not in columns:
        columns["trial"] = trials.begin(market, Trial.Kind.WALK_FORWARD, recipe=recipe, policy=policy.name)
    defaults = {
        "config": {},
        "start_from": policy.start_from,
        "folds": 2,
        "must_beat": ["flat", "buy_and_hold"],
        "recipe": recipe,
        "market_key": market.ledger_key(),
        "market": market.label,
        "status": "succeeded" if verdict or monitors else "failed",
        "verdict": "" if monitors else verdict,
        "started_at": timezone.now(),
        "finished_at": timezone.now(),
    }
    return Validation.objects.create(policy=policy, monitored=monitors, **defaults | columns)


def stored_comparison(policy, **columns):
    """Store a running comparison of the live version with flat, on new bars."""
    market, _ = FollowedMarket.objects.get_or_create(identity="0" * 64, config={}, label="bars.csv")
    arm = {"policy": policy, "market": market, "rules": {}, "opened_at": timezone.now()}
    a, b = (Arm.objects.create(kind=kind, **arm) for kind in ("flat", "live"))
    trial = trials.begin(policy.market, Trial.Kind.COMPARISON, recipe="0" * 64, policy=policy.name)
    numbers = {"trial": trial, "largest_loss": 0.1, "wealth": [1.0] * 16}
    return ArmComparison.objects.create(policy=policy, a=a, b=b, **numbers | columns)
