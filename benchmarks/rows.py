"""The rows of the benchmark of learning: what is run, with which settings, and what is to be reached.

Hyperparameters of the markets were chosen on seeds from 100 on; those of the table, from 0 on, played no part in it.
"""

from collections.abc import Sequence

import numpy as np

from benchmarks.control import CLEANRL, RL_ZOO_MOUNTAIN_CAR, ControlTask
from benchmarks.market_learning import MarketTask, Race, stable_baselines_installed
from benchmarks.markets import PlantedMarket
from benchmarks.targets import Row, Target, interquartile_mean, share_from
from rl_training.core.config import PPOConfig
from rl_training.core.market_config import MarketConfig

CARTPOLE = ControlTask("CartPole-v1", CLEANRL, 500_000)
ACROBOT = ControlTask("Acrobot-v1", CLEANRL, 500_000)
MOUNTAIN_CAR = ControlTask("MountainCar-v0", RL_ZOO_MOUNTAIN_CAR, 1_000_000)

# Rewards are noise for the most part, and whether to trade at all makes a small difference early in an episode only:
# hence a short horizon, large minibatches, an entropy bonus that keeps every position visited, and episodes of a few
# bars (each begins flat; the critic stands for what comes after).
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
# For the race to 97 %, of PPO here and stable-baselines3's: of four settings tried, the one fastest for the latter,
# which keeps its learning rate and takes rewards as they are.
FAST = PPOConfig(
    learning_rate=1e-3,
    gamma=0.9,
    gae_lambda=0.95,
    epochs=4,
    minibatch_size=512,
    entropy_coefficient=0.0,
    num_envs=32,
    rollout_length=64,
    device="cpu",
)
RACE_STEPS = 106_496


def ar1(phi: float, basis_points: float, two_observations: bool = True) -> PlantedMarket:
    market = MarketConfig(source="planted", planted_kind="ar1", planted_phi=phi)
    return PlantedMarket(market, basis_points / 1e4, two_observations)


def other(kind: str, two_observations: bool) -> PlantedMarket:
    market = MarketConfig.model_validate({"source": "planted", "planted_kind": kind})
    return PlantedMarket(market, 0.0005, two_observations)


def median(values: Sequence[float]) -> float:
    return float(np.median(values))


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


# The bold market of the race, in episodes of 256 bars.
RACE = MarketTask(ar1(0.2, 10), FAST, RACE_STEPS, 256)


def race() -> Row:
    seconds = (
        Target("ours s", median, None, of="ours", form=".2f"),
        Target("theirs s", median, None, of="theirs", form=".2f"),
    )
    ratio = Target("median theirs / ours", median, 4.0)
    return Row("time to 97 %, against stable-baselines3", RACE.steps, Race(RACE).measure, (ratio, *seconds))


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
    # 97 % is asked of the third of these, and 99 % in the end; 97 % here of the others too.
    market_row("AR(1) 0.2, 0 bp, 2 numbers", two_numbers(ar1(0.2, 0)), 97.0),
    market_row("AR(1) 0.2, 5 bp, 2 numbers", two_numbers(ar1(0.2, 5)), 97.0),
    market_row("AR(1) 0.2, 10 bp, 2 numbers", two_numbers(ar1(0.2, 10), 2 * TWO_NUMBERS_STEPS), 99.0),
    market_row("AR(1) 0.2, 10 bp, full", full(ar1(0.2, 10, False)), 95.0),
    market_row("AR(1) 0.3, 10 bp, 2 numbers", two_numbers(ar1(0.3, 10)), 97.0),
    # The policy has no memory beyond its features, the optimum knows all returns so far: no target.
    market_row("hidden regime, 5 bp, full", full(other("regime", False)), None),
    idle_row("no structure, 5 bp, 2 numbers", two_numbers(other("independent", True))),
    idle_row("no structure, 5 bp, full", full(other("independent", False))),
    *([race()] if stable_baselines_installed() else []),
)
