"""Random learning curves and evaluations of stored runs and versions."""

import random
from datetime import timedelta
from typing import Any

from django.utils import timezone

POINTS = 250


def curve(rewards: list[float], chance: random.Random) -> dict[str, Any]:
    """Return the curve of a run with these episode rewards, of 20 iterations each."""
    iterations = range(1, 20 * len(rewards) + 1)
    return {
        "episodes": {"x": [*range(1, len(rewards) + 1)], "reward": rewards, "width": 1},
        "iterations": {
            "x": [*iterations],
            "entropy": [1.09 - 0.004 * number for number in iterations],
            "approx_kl": [abs(chance.gauss(0.008, 0.002)) for _ in iterations],
            "clip_fraction": [abs(chance.gauss(0.1, 0.02)) for _ in iterations],
            "explained_variance": [1 - 1 / (1 + number / 10) for number in iterations],
            "policy_loss": [chance.gauss(-0.003, 0.001) for _ in iterations],
            "value_loss": [0.6 / (1 + number / 20) + abs(chance.gauss(0, 0.02)) for number in iterations],
            "width": 1,
        },
        "held_out": {
            "x": [20 * (number + 1) for number in range(len(rewards))],
            "training_reward": rewards,
            "held_out_reward": [reward / 2 for reward in rewards],
            "width": 1,
        },
    }


def evaluation(chance: random.Random) -> dict[str, Any]:
    def account(drift: float, deviation: float) -> dict[str, Any]:
        curve = [1.0]
        for _ in range(POINTS - 1):
            curve.append(curve[-1] * (1 + chance.gauss(drift, deviation)))
        return {
            "total_return": curve[-1] - 1,
            "sharpe": 0.8,
            "sharpe_interval": [-0.4, 1.9],
            "sortino": 1.1,
            "max_drawdown": 0.12,
            "turnover": 14.2,
            "time_in_market": 0.7,
            "costs_paid": 0.01,
            "hit_rate": 0.53,
            "equity_curve": curve,
        }

    start = timezone.now() - timedelta(days=POINTS)
    flat = dict.fromkeys(("total_return", "max_drawdown", "turnover", "time_in_market", "costs_paid"), 0.0)
    return account(0.0006, 0.006) | {
        "bars": POINTS - 1,
        "annualisation": 252.0,
        "timestamps": [f"{start + timedelta(days=day):%Y-%m-%dT00:00:00Z}" for day in range(POINTS)],
        "buy_and_hold": account(0.0003, 0.01),
        "flat": flat | {"equity_curve": [1.0] * POINTS},
    }
