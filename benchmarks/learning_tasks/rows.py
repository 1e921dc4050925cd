"""The rows of the benchmark of learning: environments, hyperparameters, steps and targets.

The markets' hyperparameters were chosen on seeds from 100 on. The table uses the seeds from 0 on, which were not used
for this choice.
"""

import importlib.util

import numpy as np

from benchmarks.learning_tasks.control import CLEANRL, RL_ZOO_MOUNTAIN_CAR, ControlTask
from benchmarks.learning_tasks.market_tasks import MarketTask
from benchmarks.learning_tasks.planted_markets import PlantedMarket, ar1, market_of_kind
from benchmarks.results.targets import Row, Target, interquartile_mean, median, share_from
from rl_training.core.config import PPOConfig

# stable-baselines3 is a development requirement. Without it, the race is left out.
RACES: tuple[Row, ...] = ()
if importlib.util.find_spec("stable_baselines3"):
    from benchmarks.learning_tasks.race import race_row

    RACES = (race_row(),)

CARTPOLE = ControlTask("CartPole-v1", CLEANRL, 500_000)
ACROBOT = ControlTask("Acrobot-v1", CLEANRL, 500_000)
MOUNTAIN_CAR = ControlTask("MountainCar-v0", RL_ZOO_MOUNTAIN_CAR, 1_000_000)

# Rewards are mostly noise, and the choice whether to trade at all makes only a small difference, early in an episode.
# Therefore the horizon is short, minibatches are large, and an entropy bonus keeps every position visited. Episodes
# have few bars: each begins flat, and the critic's value stands for the bars after it.
EPISODE = 4
TWO_NUMBERS = PPOConfig(
    learning_rate=3e-3,
    gamma=0.5,
    gae_lambda=0.5,
    epochs=10,
    minibatch_size=4096,
    entropy_coefficient=0.05,
    num_envs=256,
    rollout_length=64,
    device="cpu",
)
TWO_NUMBERS_STEPS = 131_072
FULL = TWO_NUMBERS.model_copy(update={"gamma": 0.3, "epochs": 4, "num_envs": 1024})
FULL_STEPS = 524_288


def two_numbers(market: PlantedMarket, steps: int = TWO_NUMBERS_STEPS) -> MarketTask:
    return MarketTask(market, TWO_NUMBERS, steps, EPISODE)


def full(market: PlantedMarket) -> MarketTask:
    return MarketTask(market, FULL, FULL_STEPS, EPISODE)


def market_row(name: str, task: MarketTask, bound: float | None) -> Row:
    share = Target("median % of optimum", median, bound)
    return Row(name, task.steps, task.measure, (share, Target("bp a bar", median, None, of="bp", form=".2f")))


def idle_row(name: str, task: MarketTask) -> Row:
    in_market = Target("median % of bars in the market", median, 5.0, of="market", at_most=True)
    return Row(name, task.steps, task.measure, (in_market,))


ROWS = (
    Row(
        "CartPole-v1",
        CARTPOLE.steps,
        CARTPOLE.measure,
        (Target("IQM", interquartile_mean, 490.0), Target("worst", min, 475.0)),
    ),
    Row("Acrobot-v1", ACROBOT.steps, ACROBOT.measure, (Target("mean", lambda values: float(np.mean(values)), -86.0),)),
    Row(
        "MountainCar-v0",
        MOUNTAIN_CAR.steps,
        MOUNTAIN_CAR.measure,
        (
            Target("share of seeds from -115", share_from(-115.0), 0.9),
            Target("median", median, None),
        ),
    ),
    # The third row has twice as many steps and the higher target.
    market_row("AR(1) 0.2, 0 bp, 2 numbers", two_numbers(ar1(0.2, 0)), 97.0),
    market_row("AR(1) 0.2, 5 bp, 2 numbers", two_numbers(ar1(0.2, 5)), 97.0),
    market_row("AR(1) 0.2, 10 bp, 2 numbers", two_numbers(ar1(0.2, 10), 2 * TWO_NUMBERS_STEPS), 99.0),
    market_row("AR(1) 0.2, 10 bp, full", full(ar1(0.2, 10, False)), 95.0),
    market_row("AR(1) 0.3, 10 bp, 2 numbers", two_numbers(ar1(0.3, 10)), 97.0),
    # There is no target, because the optimum knows all past returns, but the policy only its features.
    market_row("hidden regime, 5 bp, full", full(market_of_kind("regime", False)), None),
    idle_row("no structure, 5 bp, 2 numbers", two_numbers(market_of_kind("independent", True))),
    idle_row("no structure, 5 bp, full", full(market_of_kind("independent", False))),
    *RACES,
)
