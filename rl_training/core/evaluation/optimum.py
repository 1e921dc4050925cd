"""The best policy on a planted market and what it earns, by dynamic programming.

Positions are -1, 0 and 1. A decision at a bar's close knows all returns up to that bar, trades at that price and earns
the next return. One number, the signal, contains all that the past says about the next return. For kind ar1, the signal
is the last return; for regime, the probability by Bayes' rule that the next bar drifts upwards; for independent, it
says nothing.

The method is relative value iteration (Puterman, Markov Decision Processes, 1994, section 8.5) on a grid of signals
and, if units are held, of exposures. The grid's error is in the third decimal of the rewards, in the second for regime
with held units.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from rl_training.core.compiled import compiled
from rl_training.core.market.planted import VOLATILITY
from rl_training.core.market_config import MarketConfig

FloatArray = NDArray[np.float64]
Shares = list[tuple[NDArray[np.int64], FloatArray]]

# The reward of a position p in a bar with log return r, at cost c per unit of turnover.
# profit: p r - c |change of p|.
# rebalanced: log(1 + p (exp(r) - 1)) - c |change of p|: log equity, with the exposure brought back to p for free.
# held: rl_training.core.trading.accounting with fee = c and no other cost. An unchanged position keeps its units, so
#     the exposure of a short drifts with the price: it shrinks when the short wins.
Accounting = Literal["profit", "rebalanced", "held"]

POSITIONS = np.array([-1.0, 0.0, 1.0])
SIGNALS = {"profit": 1601, "rebalanced": 1601, "held": 401}
# Nodes of the trapezoidal rule for the normal distribution.
NORMAL = np.linspace(-6.0, 6.0, 121)
WEIGHTS = np.exp(-(NORMAL**2) / 2) / np.exp(-(NORMAL**2) / 2).sum()
# The grid of a held short's exposures. An exposure beyond an end counts as the end.
SHORTS = -np.linspace(0.5, 2.5, 21)
# In basis points a bar.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Optimum:
    """The best policy on a planted market.

    reward   per bar, in basis points
    signals  the grid, [S]
    values   [held position, target position, S], the expected reward from then on, less a constant; for a held short,
             at the exposure -1 that it was opened with
    """

    reward: float
    signals: FloatArray
    values: FloatArray

    def decide(self, signal: FloatArray, position: FloatArray) -> FloatArray:
        """Return the best target position for each signal and each held position of POSITIONS; all [N].

        A held short whose exposure has drifted is treated as one at -1, which costs about 0.01 bp per bar.
        """
        values = [[np.interp(signal, self.signals, value) for value in targets] for targets in self.values]
        held = np.searchsorted(POSITIONS, position)
        best: FloatArray = POSITIONS[np.array(values)[held, :, np.arange(len(held))].argmax(axis=1)]
        return best

    def targets(self, signals: FloatArray) -> FloatArray:
        """Return the target position after each bar, [T], for the signals, [T], starting flat."""
        choices = np.array([self.decide(signals, np.full(len(signals), held)) for held in POSITIONS])
        held, path = 1, []
        for choice in (choices.T.astype(np.int64) + 1).tolist():
            held = choice[held]
            path.append(held)
        return POSITIONS[path]


def optimum(config: MarketConfig, cost: float, accounting: Accounting, signals: int | None = None) -> Optimum:
    """Return the best policy on the planted market of `config` at `cost` per unit of turnover.

    `signals` are the nodes of the grid of signals, by default as many as the third decimal of the reward needs.

    Its reward is the mean over an endless market; a sample of T bars deviates from it by about 1% / sqrt(T). The call
    takes a second, or ten for a hidden regime with held units.
    """
    chain = _Chain.of(config, signals or SIGNALS[accounting])
    exposures = [SHORTS if accounting == "held" and p < 0 else np.array([p]) for p in POSITIONS]
    opened_at = [int(np.abs(exposure - p).argmin()) for exposure, p in zip(exposures, POSITIONS, strict=True)]
    bars = [_bar(chain, exposure, accounting) for exposure in exposures]
    costs = [[_cost(exposure, target, cost, accounting) for target in POSITIONS] for exposure in exposures]
    values = [np.zeros((len(chain.signals), len(exposure))) for exposure in exposures]
    while True:
        # `kept` is the value of keeping each position through the next bar, by exposure; `opened` that of opening it.
        kept = [(reward + move @ v.ravel()).reshape(v.shape) for (reward, move), v in zip(bars, values, strict=True)]
        opened = [q[:, [place]] for q, place in zip(kept, opened_at, strict=True)]
        choices = [
            np.stack([kept[i] if i == j else opened[j] - costs[i][j] for j in range(len(POSITIONS))])
            for i in range(len(POSITIONS))
        ]
        updated = [choice.max(axis=0) for choice in choices]
        gains = np.concatenate([(new - old).ravel() for new, old in zip(updated, values, strict=True)])
        if np.ptp(gains) * 1e4 < TOLERANCE:
            break
        values = [value - updated[1][0, 0] for value in updated]
    return Optimum(
        reward=float(gains.max() + gains.min()) / 2 * 1e4,
        signals=chain.signals,
        values=np.stack([choice[:, :, place] for choice, place in zip(choices, opened_at, strict=True)]),
    )


def upward_probability(returns: FloatArray, config: MarketConfig) -> FloatArray:
    """Return the signal of kind regime after each bar, [T]: the probability that the next bar drifts upwards.

    Bayes' rule for two hidden states (Hamilton, Econometrica 57, 1989), with 1/2 before the first bar.
    """
    signals = np.empty(len(returns))
    _filter(returns, 2 * config.planted_drift / VOLATILITY**2, config.planted_switching, signals)
    return signals


@compiled
def _filter(returns: FloatArray, rate: float, switching: float, signals: FloatArray) -> None:
    """Fill in `signals` for upward_probability(), with the formula of _after_seeing() at each bar."""
    signal = 0.5
    for bar in range(len(returns)):
        odds = math.exp(rate * returns[bar])
        upward = signal * odds / (signal * odds + 1 - signal)
        signal = upward * (1 - switching) + (1 - upward) * switching
        signals[bar] = signal


def _after_seeing(log_return: FloatArray, signal: FloatArray, config: MarketConfig) -> FloatArray:
    odds = np.exp(2 * config.planted_drift * log_return / VOLATILITY**2)
    upward: FloatArray = signal * odds / (signal * odds + 1 - signal)
    return upward * (1 - config.planted_switching) + (1 - upward) * config.planted_switching


@dataclass(frozen=True)
class _Chain:
    """The signal as a Markov chain.

    signals  evenly spaced, [S]
    returns  the next bar's possible log returns from each signal, [S, K]
    weights  their probabilities, [S, K]
    after    the signals that they lead to, [S, K]
    """

    signals: FloatArray
    returns: FloatArray
    weights: FloatArray
    after: FloatArray

    @classmethod
    def of(cls, config: MarketConfig, count: int) -> "_Chain":
        noise = np.tile(VOLATILITY * NORMAL, (count, 1))
        weights = np.tile(WEIGHTS, (count, 1))
        if config.planted_kind == "regime":
            signals = np.linspace(config.planted_switching, 1 - config.planted_switching, count)
            returns = np.concatenate([noise + config.planted_drift, noise - config.planted_drift], axis=1)
            upward = signals[:, None]
            weights = np.concatenate([weights * upward, weights * (1 - upward)], axis=1)
            return cls(signals, returns, weights, _after_seeing(returns, upward, config))
        phi = config.planted_phi if config.planted_kind == "ar1" else 0.0
        signals = np.linspace(-6 * VOLATILITY, 6 * VOLATILITY, count)
        returns = phi * signals[:, None] + np.sqrt(1 - phi**2) * noise
        return cls(signals, returns, weights, returns)


def _bar(chain: _Chain, exposure: FloatArray, accounting: Accounting) -> tuple[FloatArray, sparse.csr_array]:
    """Return the expected reward and the transitions of a bar held at each of the exposures, [E], evenly spaced.

    The reward is [S E], at each signal and exposure. The matrix, [S E, S E], maps a function of the signal and exposure
    after the bar to its expectation before the bar.
    """
    states = np.arange(len(chain.signals) * len(exposure)).reshape(len(chain.signals), len(exposure), 1)
    returns, weights, after, state, e = np.broadcast_arrays(
        chain.returns[:, None, :], chain.weights[:, None, :], chain.after[:, None, :], states, exposure[:, None]
    )
    growth = 1 + e * np.expm1(returns)
    reward = e * returns if accounting == "profit" else np.log(growth)
    move = sparse.csr_array((states.size, states.size))
    for row, share in _between(after, chain.signals):
        for column, part in _among_three(e * np.exp(returns) / growth, exposure):
            entries = (weights * share * part).ravel()
            move += sparse.csr_array((entries, (state.ravel(), (row * len(exposure) + column).ravel())), move.shape)
    return (weights * reward).sum(axis=2).ravel(), move


def _cost(exposure: FloatArray, target: float, cost: float, accounting: Accounting) -> FloatArray:
    """Return the reward lost by trading from each exposure to the target."""
    gap = target - exposure
    if accounting != "held":
        return cost * np.abs(gap)
    return -np.log1p(-cost * np.abs(gap) / (1 + np.sign(gap) * cost * target))


def _between(value: FloatArray, grid: FloatArray) -> Shares:
    """Return nodes of the grid and their shares for linear interpolation; a value beyond an end counts as the end."""
    place = ((value - grid[0]) / (grid[1] - grid[0])).clip(0, len(grid) - 1)
    lower = np.minimum(place.astype(np.int64), len(grid) - 2)
    return [(lower, 1 - (place - lower)), (lower + 1, place - lower)]


def _among_three(value: FloatArray, grid: FloatArray) -> Shares:
    """Return nodes and shares for quadratic interpolation.

    The value of a held short is curved and interpolated again in every bar, so linear interpolation is too coarse.
    """
    if len(grid) == 1:
        return [(np.zeros(value.shape, dtype=np.int64), np.ones(value.shape))]
    place = ((value - grid[0]) / (grid[1] - grid[0])).clip(0, len(grid) - 1)
    middle = np.rint(place).astype(np.int64).clip(1, len(grid) - 2)
    x = place - middle
    return [(middle - 1, x * (x - 1) / 2), (middle, 1 - x**2), (middle + 1, x * (x + 1) / 2)]
