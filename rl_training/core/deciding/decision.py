"""One decision at the close of a bar, and the step of a paper account to the next bar.

The observation is that of training: the last window + 1 bars give the same features as the whole history (features.py),
and `Observer` adds the account. The accounting is that of the environment.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.network import Network
from rl_training.core.evaluation.references import rule_targets
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.ppo.compiled_policy import allocate_decisions, mean_value, weigh
from rl_training.core.trading.accounting import Accounts, open_accounts, trade_bar
from rl_training.core.trading.features import ACCOUNT_OBSERVATIONS, longest_window
from rl_training.core.trading.observation import Observer, observe_account
from rl_training.core.words import count_of

Observation = npt.NDArray[np.float32]


@dataclass(frozen=True)
class AccountState:
    """A paper account at the close of a bar; see `Accounts` for the fields."""

    cash: float
    units: float
    target: float
    equity: float
    entry_equity: float
    peak: float

    def accounts(self) -> Accounts:
        """Return the account as arrays of length 1."""
        values = self.cash, self.units, self.target, self.equity, self.entry_equity, self.peak
        return Accounts(np.array(values).reshape(-1, 1))


NEW_ACCOUNT = AccountState(*open_accounts(1).rows[:, 0].tolist())


@dataclass(frozen=True)
class Choice:
    """A target position that a network chose, and the network's outputs.

    probabilities  one for each action, the mean over members
    value          the critic's estimate of the discounted scaled rewards to come, the mean over members
    """

    target: float
    observation: Observation
    probabilities: tuple[float, ...]
    value: float


def digest_of(observation: Observation) -> str:
    """Return the SHA-256, in hex, of an observation as little-endian float32."""
    return hashlib.sha256(observation.astype("<f4").tobytes()).hexdigest()


def bars_needed(environment: EnvironmentConfig) -> int:
    """Return how many of the latest bars an observation needs: the longest feature window and the bar itself."""
    return longest_window(environment.features) + 1


def next_state(state: AccountState, target: float, bar: MarketData, costs: EnvironmentConfig) -> AccountState:
    """Return the account at the close of `bar`, one bar, after a trade to `target` at its open; see `trade_bar`."""
    after, _ = trade_bar(state.accounts(), np.array([target]), bar.open, bar.close, costs)
    return AccountState(*after.rows[:, 0].tolist())


def choose(network: Network, bars: MarketData, state: AccountState) -> Choice:
    """Return what the network chooses at the close of the last of `bars` for an account in this state.

    Raises MarketDataError if there are fewer bars than the features need.
    """
    needed = bars_needed(network.environment)
    if len(bars) < needed:
        raise MarketDataError(f"{count_of(len(bars), 'bar')}, but a decision needs the last {needed}")
    window = bars[len(bars) - needed :]
    observer = Observer(window, network.environment, network.statistics)
    return choose_from(network, observer.observe(np.array([needed - 1]), state.accounts())[0])


def choose_from(network: Network, observation: Observation) -> Choice:
    """Return what the network chooses from an observation."""
    rows = observation.reshape(1, -1)
    actions, probabilities = np.empty(1, np.int64), np.empty((1, int(network.actor.sizes[-1])))
    weigh(network.actor, rows, allocate_decisions(network.actor, 1), actions, probabilities)
    value = mean_value(network.critic, rows, allocate_decisions(network.critic, 1))
    target = network.environment.positions[actions[0]]
    return Choice(target, observation, tuple(probabilities[0].tolist()), float(value))


def for_account(
    network: Network, observation: Observation, position: float, unrealised_log_return: float, drawdown: float
) -> Choice:
    """Return what the network chooses for an account in another state that observes the same features."""
    largest = 2.0 * max(abs(target) for target in network.environment.positions)
    own = observation.copy()
    own[-len(ACCOUNT_OBSERVATIONS) :] = observe_account(position, unrealised_log_return, drawdown, largest)
    return choose_from(network, own)


def follow_rule(rule: str, bars: MarketData, costs: EnvironmentConfig) -> float:
    """Return the target of a rule of `rule_targets` at the close of the last of `bars`."""
    return float(rule_targets(bars, costs)[rule][-1])
