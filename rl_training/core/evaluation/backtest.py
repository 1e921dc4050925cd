"""The way of three accounts through a market: one that follows a policy, one that buys and holds, one that stays flat.

A policy can be anything that is asked at each bar. Where it is a network that is small enough, the whole way is
compiled, which is some fifty times as fast. Accounting and observations are the same functions on both ways.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rl_training.core.compiled import compiled
from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo import policy as trained
from rl_training.core.ppo.compiled_networks import FlatNetwork, Floats, Integers, forward
from rl_training.core.ppo.compute import MOST_COMPILED_PARAMETERS
from rl_training.core.ppo.normalisation import OBSERVATION_CLIP
from rl_training.core.trading.accounting import FloatArray, Rates, cost_rates, open_accounts, trade_bar, trade_bar_into
from rl_training.core.trading.observation import Observer, fill_in

POLICY, BUY_AND_HOLD, FLAT = ACCOUNTS = range(3)


class Policy(Protocol):
    """What it takes to be followed."""

    def predict(
        self, observations: npt.NDArray[np.float32], deterministic: bool = True
    ) -> npt.NDArray[np.integer[Any]]:
        """Actions, [N], for observations [N, D]."""
        ...


@dataclass(frozen=True, slots=True)
class Passage:
    """What the accounts went through; [bars, 3], equity [bars + 1, 3]."""

    equity: FloatArray  # at each close, from that of the first decision on
    cost: FloatArray
    turnover: FloatArray
    held: npt.NDArray[np.bool_]  # the bar was held through, or into ruin, with a position


def pass_through(policy: Policy, market: MarketData, config: EnvironmentConfig, observer: Observer) -> Passage:
    """From the first bar with a full feature window to the last; `observer` is of the same market and config."""
    bars = len(market) - 1 - observer.first_bar
    passage = Passage(
        equity=np.ones((bars + 1, len(ACCOUNTS))),
        cost=np.empty((bars, len(ACCOUNTS))),
        turnover=np.empty((bars, len(ACCOUNTS))),
        held=np.empty((bars, len(ACCOUNTS)), np.bool_),
    )
    if isinstance(policy, trained.Policy) and policy.actor_parameters <= MOST_COMPILED_PARAMETERS:
        _follow_network(policy, market, config, observer, passage)
    else:
        _follow(policy, market, config, observer, passage)
    return passage


def _follow(
    policy: Policy, market: MarketData, config: EnvironmentConfig, observer: Observer, passage: Passage
) -> None:
    accounts = open_accounts(len(ACCOUNTS))
    target = np.zeros(len(ACCOUNTS))
    target[BUY_AND_HOLD] = 1.0
    for index in range(len(passage.cost)):
        bar = observer.first_bar + index
        observations = observer.observe(np.full(len(ACCOUNTS), bar), accounts)
        action = policy.predict(observations[POLICY : POLICY + 1], deterministic=True)[0]
        target[POLICY] = config.positions[action]
        opened, closed = (np.full(len(ACCOUNTS), prices[bar + 1]) for prices in (market.open, market.close))
        accounts, outcome = trade_bar(accounts, target, opened, closed, config)
        passage.equity[index + 1] = accounts.equity
        passage.cost[index] = outcome.cost
        passage.turnover[index] = outcome.turnover
        passage.held[index] = (accounts.units != 0) | (outcome.ruined & (outcome.reward != 0))


def _follow_network(
    policy: trained.Policy, market: MarketData, config: EnvironmentConfig, observer: Observer, passage: Passage
) -> None:
    actor = policy.network.actor
    parameters = np.concatenate([parameter.detach().cpu().numpy().ravel() for parameter in actor.parameters()])
    size = policy.shape.observation_size
    mean, scale, clip = np.zeros(size, np.float32), np.ones(size, np.float32), np.inf
    if policy.observations is not None:
        mean, scale = policy.observations.mean.numpy(), policy.observations.scale.numpy()
        clip = OBSERVATION_CLIP
    _follow_compiled(
        parameters,
        np.array(actor.sizes),
        mean,
        scale,
        clip,
        np.array(config.positions)[policy.shape.first_action :],
        observer.rows,
        observer.width,
        observer.largest_position,
        observer.first_bar,
        market.open,
        market.close,
        cost_rates(config),
        passage.equity,
        passage.cost,
        passage.turnover,
        passage.held,
    )


@compiled
def _follow_compiled(
    parameters: Floats,
    sizes: Integers,
    mean: Floats,
    scale: Floats,
    clip: float,
    positions: FloatArray,
    rows: Floats,
    width: int,
    largest_position: float,
    first_bar: int,
    opens: FloatArray,
    closes: FloatArray,
    rates: Rates,
    equity: FloatArray,
    cost: FloatArray,
    turnover: FloatArray,
    held: npt.NDArray[np.bool_],
) -> None:
    count = equity.shape[1]
    # In the order of the fields of Accounts, as trade_bar_into() has them.
    accounts, after = np.ones((6, count)), np.empty((6, count))
    accounts[1:3] = 0.0
    outcome, ruined = np.empty((3, count)), np.empty(count, np.bool_)
    target, opened, closed = np.zeros(count), np.empty(count), np.empty(count)
    target[BUY_AND_HOLD] = 1.0
    hidden, logits = np.empty((len(sizes) - 2, sizes[1:-1].max()), np.float32), np.empty((sizes[-1], 1), np.float32)
    for index in range(len(cost)):
        bar = first_bar + index
        seen = rows[bar : bar + 1].copy()
        cash, units, held_target, worth, entry_worth, peak = accounts
        fill_in(seen, width, largest_position, closes[bar : bar + 1], units[:1], worth[:1], entry_worth[:1], peak[:1])
        for number in range(seen.shape[1]):
            value = (seen[0, number] - mean[number]) * scale[number]
            seen[0, number] = min(max(value, -clip), clip)
        forward(FlatNetwork(parameters, sizes), seen, hidden, logits)
        target[POLICY] = positions[logits[:, 0].argmax()]
        opened[:], closed[:] = opens[bar + 1], closes[bar + 1]
        trade_bar_into(
            cash, units, held_target, worth, entry_worth, peak, target, opened, closed, rates, after, outcome, ruined
        )
        accounts, after = after, accounts
        equity[index + 1], cost[index], turnover[index] = accounts[3], outcome[1], outcome[2]
        held[index] = (accounts[1] != 0) | (ruined & (outcome[0] != 0))
