"""Rows about the gate for a browser: a walk-forward with a result, and policies whose recipes tests walk forward."""

import random
from typing import Any

from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore, PolicyVersion
from tests.browser.names import NOISY, PLANTED
from tests.random_results import POINTS, evaluation
from tests.stored import walked_forward

# On each of 25 seeds, this recipe was validated and its version passed the guards; without structure it never was.
ENVIRONMENT = EnvironmentConfig(episode_length=64, features=["log_return_1"], fee=0.0, slippage=0.0)
PPO = PPOConfig(
    num_envs=4, rollout_length=16, minibatch_size=64, hidden_sizes=[8], epochs=2, learning_rate=0.01, device="cpu"
)
MARKETS: dict[str, dict[str, Any]] = {
    PLANTED: {"planted_kind": "ar1", "planted_phi": 0.9},
    NOISY: {"planted_kind": "independent"},
}
FOLD = POINTS // 4
REFERENCES = ("buy_and_hold", "flat", "trained_once", "last_return_followed", "last_return_opposed")


def store_policies() -> None:
    """Store the disabled policies `MARKETS` on planted markets."""
    for name, market in MARKETS.items():
        PolicyStore.objects.create(
            name=name,
            enabled=False,
            seeds=1,
            episodes_per_run=60,
            market=MarketConfig(source="planted", bars=1200, **market),
            environment=ENVIRONMENT,
            ppo=PPO,
        )


def store_walked_forward(policy: PolicyStore) -> str:
    """Store an inconclusive walk-forward of the policy and hold its newest version back. Returns its id."""
    chance = random.Random(11)
    found = evaluation(chance)
    accounts = {name: evaluation(chance) for name in ("walk_forward", *REFERENCES, "member_1", "member_2")}
    stamps = found["timestamps"]
    folds = [
        {
            "fold": {"number": number, "begin": begin, "end": begin + FOLD},
            "first_bar_at": stamps[begin],
            "last_bar_at": stamps[begin + FOLD - 1],
            "performance": evaluation(chance),
            "log_returns": dict.fromkeys(accounts, 0.01),
        }
        for number, begin in enumerate(range(0, 4 * FOLD, FOLD))
    ]
    tests = {name: {"mean": 0.0001, "p_above": 0.2, "p_below": 0.8} for name in REFERENCES}
    result = {"bars": POINTS - 1, "timestamps": stamps, "performances": accounts, "folds": folds, "tests": tests}
    result |= {"deflated_sharpe": 0.4, "trials": 8, "overfitting": {"probability": 0.3, "recipes": 8, "bars": POINTS}}
    sentence = "Inconclusive: over 2,500 bars p is 0.2 against flat and buy and hold; trial 1 needs both below 0.03."
    columns = {"folds": 4, "config": policy.training_config().model_dump(mode="json"), "result": result}
    columns |= {"judgement": {"sentence": sentence}, "bars": 5000}
    validation = walked_forward(policy, "inconclusive", bars_digest="ab" * 32, **columns)
    for number in range(4):
        bars = {"train_begin": 0, "train_end": 2400 + number * 600}
        validation.steps.create(
            kind="fold",
            number=number,
            fold=bars,
            status="succeeded",
            seconds=3.2,
            first_traded_at=validation.started_at,
            last_traded_at=validation.started_at,
        )
    newest = policy.versions.order_by("-number")[:1]
    held_back = f"its recipe is inconclusive, by validation {validation}"
    PolicyVersion.objects.filter(pk__in=newest.values("pk")).update(held_back=held_back)
    return str(validation)
