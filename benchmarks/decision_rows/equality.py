"""Compares decisions that are made from the last bars alone with those of an evaluation of the whole history."""

import tempfile
from pathlib import Path

from benchmarks.results.figures import Figure
from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.decision import NEW_ACCOUNT, bars_needed, choose, next_state
from rl_training.core.evaluation.backtest import run_backtest
from rl_training.core.trading.observation import Observer
from tests.core.deciding.networks import random_policy, stored_network
from tests.trading_cases import random_market

BARS = 5_000
# Each history has different features, positions, costs and members.
ENVIRONMENTS = (
    EnvironmentConfig(),
    EnvironmentConfig(positions=[0.0, 1.0], fee=0.001),
    EnvironmentConfig(positions=[-2.0, -1.0, 0.0, 1.0, 2.0], borrow_rate=0.0002, funding_rate=0.0001),
    EnvironmentConfig(features=["log_return_1", "rsi_14", "time_of_day", "time_of_week"], ruin_fraction=0.5),
)


def equality(decisions: int) -> Figure:
    """Count the decisions over random histories whose target or account differs from the evaluation's."""
    done = differing = history = 0
    with tempfile.TemporaryDirectory() as folder:
        while done < decisions:
            count, wrong = compare(history, Path(folder) / str(history), min(BARS, decisions - done + 200))
            done, differing, history = done + count, differing + wrong, history + 1
    return Figure(
        f"of {done:,} decisions over {history} random histories, other than the evaluation's", differing, "", 0
    )


def compare(seed: int, folder: Path, bars: int) -> tuple[int, int]:
    """Return how many decisions one random history has, and how many differ."""
    environment = ENVIRONMENTS[seed % len(ENVIRONMENTS)]
    market = random_market(bars, seed, volatility=(0.002, 0.01, 0.05)[seed % 3])
    policy = random_policy(environment, members=1 + seed % 3, normalises=bool(seed % 2))
    network = stored_network(folder, policy, environment, market)
    equity = run_backtest(policy, market, environment, Observer(market, environment, network.statistics)).equity[:, 0]
    needed, state, wrong = bars_needed(environment), NEW_ACCOUNT, 0
    for number, bar in enumerate(range(needed - 1, len(market) - 1)):
        wrong += int(state.equity != equity[number])
        choice = choose(network, market[bar - needed + 1 : bar + 1], state)
        state = next_state(state, choice.target, market[bar + 1 : bar + 2], environment)
    return len(equity) - 1, int(wrong + (state.equity != equity[-1]))
