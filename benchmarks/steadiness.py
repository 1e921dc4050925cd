"""Measures how much the held-out result of a version depends on its seed, by the number of its members.

python -m benchmarks.steadiness [--members N]

Trains N members with the defaults on each market, divides them at random into versions of 1, 2, 3, 4 and 6 members, and
prints the mean and the deviation of the versions' log returns on the later bars. docs/learning.md has a result.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from benchmarks.results.markdown import aligned
from rl_training.core.config import EnvironmentConfig, TrainingConfig
from rl_training.core.evaluation.backtest import POLICY, run_backtest
from rl_training.core.market.bars import MarketData
from rl_training.core.market.planted import planted_market
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.ensemble import combined
from rl_training.core.ppo.policy import Policy
from rl_training.core.ppo.ppo import PPO
from rl_training.core.trading.environment import TradingVectorEnv
from rl_training.core.trading.observation import Observer

HEADINGS = ("market", "members", "mean, bp a bar", "deviation, bp a bar", "processor time, s")
SIZES = (1, 2, 3, 4, 6)
# The members are divided at random this many times, so that each size uses all of them.
DIVISIONS = 4
TRAINED_ON, FRESH = 5_000, 12_000


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steadiness", description="How steady versions are.")
    parser.add_argument("--members", type=int, default=24, help="members trained on each market; 24 by default")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [row for name, earlier, later in markets() for row in measured(name, earlier, later, options.members)]
    print(aligned([HEADINGS, *rows]))


def markets() -> Iterator[tuple[str, MarketData, MarketData]]:
    """Yield a name, the bars to train on and the bars to measure on."""
    daily = load_market(MarketConfig())
    yield "sp500", daily[: len(daily) * 4 // 5], daily[len(daily) * 4 // 5 :]
    for kind in ("ar1", "regime"):
        config = {"source": "planted", "planted_kind": kind, "bars": TRAINED_ON + FRESH, "planted_seed": 101}
        bars = planted_market(MarketConfig.model_validate(config))
        yield kind, bars[:TRAINED_ON], bars[TRAINED_ON:]


def measured(name: str, earlier: MarketData, later: MarketData, members: int) -> Iterator[tuple[str, ...]]:
    """Yield a row for each size of a version."""
    config, random = TrainingConfig(), np.random.default_rng(0)
    env = TradingVectorEnv(earlier, config.environment, config.ppo.num_envs, 0)
    trained, started = [], time.process_time()
    for seed in range(1000, 1000 + members):
        ppo = PPO(env, config.ppo, seed)
        ppo.learn(config.member_timesteps)
        trained.append(ppo.policy)
    seconds = (time.process_time() - started) / members
    observer = Observer(later, config.environment, env.statistics)
    for size in SIZES:
        divisions = [random.permutation(members)[: members // size * size].reshape(-1, size) for _ in range(DIVISIONS)]
        found = np.array(
            [
                [
                    result([trained[member] for member in version], later, config.environment, observer)
                    for version in one
                ]
                for one in divisions
            ]
        )
        deviation = float(np.sqrt(found.var(axis=1, ddof=1).mean()))
        row = (name, str(size), f"{found.mean():.2f}", f"{deviation:.2f}", f"{size * seconds:.2f}")
        print(*row, sep=" | ", file=sys.stderr, flush=True)
        yield row


def result(members: Sequence[Policy], market: MarketData, config: EnvironmentConfig, observer: Observer) -> float:
    """Return the log return of a version in basis points a bar."""
    backtest = run_backtest(combined(members), market, config, observer)
    return float(1e4 * np.log(backtest.equity[-1, POLICY]) / len(backtest.cost))


if __name__ == "__main__":
    main()
