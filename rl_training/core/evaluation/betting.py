"""Comparison of two accounts bar by bar, whose verdict is valid at whichever bar it is read.

Let d_t be the change of the log equity of B minus that of A in bar t. With u_j, 16 stakes spaced evenly in the
logarithm from 0.02 to 0.95, and L the largest loss of B against A in one bar,

    x_t = min(d_t - floor, L) / L              gains are capped, losses never
    K_t = mean_j prod_{i <= t} (1 + u_j x_i)

If E[d_t - floor | past] <= 0 at each bar, K ever reaches 1 / alpha with probability at most alpha, for any distribution
of the bars (Ville's inequality; Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting",
2024). A bar that loses more than L ends the comparison against B.

The change detector for A losing against B is, with the same x,

    M_t = mean_j M_{j,t},    M_{j,t} = (1 + M_{j,t-1}) (1 + u_j x_t)

(Shin, Ramdas and Rinaldo, "E-detectors", 2024). If A does not lose against B, M takes on average at least as many bars
as the limit to reach the limit.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
STAKES: FloatArray = np.geomspace(0.02, 0.95, 16)
LARGEST_LOSS = 0.10


@dataclass(frozen=True)
class Bet:
    """A comparison after some bars: `wealth` of each stake, and whether a loss above the largest has ended it."""

    wealth: FloatArray
    bars: int = 0
    capped: int = 0
    ended: bool = False

    @property
    def evidence(self) -> float:
        """The value of K; 0 once the comparison has ended against B."""
        return 0.0 if self.ended else float(self.wealth.mean())

    def after(self, difference: float, floor: float = 0.0, largest_loss: float = LARGEST_LOSS) -> "Bet":
        """Return the comparison after one more bar; `difference` is the change of B's log equity minus that of A's."""
        if self.ended:
            return self
        gain = difference - floor
        if gain < -largest_loss:
            return Bet(self.wealth, self.bars + 1, self.capped, ended=True)
        grown = self.wealth * (1.0 + STAKES * share(gain, largest_loss))
        return Bet(grown, self.bars + 1, self.capped + (gain > largest_loss))


def new_bet() -> Bet:
    """Return a comparison before its first bar, with K = 1."""
    return Bet(np.ones(len(STAKES)))


def share(gain: float, largest_loss: float) -> float:
    """Return x: the gain, capped at the largest loss, divided by the largest loss."""
    return min(gain, largest_loss) / largest_loss


def detect(state: FloatArray, difference: float, floor: float = 0.0, largest_loss: float = LARGEST_LOSS) -> FloatArray:
    """Return the detector's M_j, [stakes], after one more bar; `state` holds the previous M_j, at first zeros.

    A loss of B above the largest one counts as the largest.
    """
    x = max(-1.0, share(difference - floor, largest_loss))
    changed: FloatArray = (1.0 + state) * (1.0 + STAKES * x)
    return changed


def expected_bars(bet: Bet, differences: FloatArray, alpha: float, floor: float, largest_loss: float) -> float:
    """Return how many more bars like `differences` `bet` takes to reach 1 / alpha; infinity if B does not gain.

    The wealth of stake j grows by the factor exp(mean of log(1 + u_j x)) per bar.
    """
    x = np.minimum(np.asarray(differences) - floor, largest_loss) / largest_loss
    if bet.ended or not len(x) or x.min() < -1.0:
        return math.inf
    rates = np.log1p(np.outer(STAKES, x)).mean(axis=1)
    best = int(rates.argmax())
    if rates[best] <= 0:
        return math.inf
    # The best stake alone reaches the limit by `most`, so the mean of all stakes reaches it by then too.
    fewest, most = 0.0, max(0.0, math.log(len(STAKES) / alpha / bet.wealth[best]) / float(rates[best]))
    for _ in range(60):
        middle = (fewest + most) / 2
        if float((bet.wealth * np.exp(middle * rates)).mean()) >= 1.0 / alpha:
            most = middle
        else:
            fewest = middle
    return most


def first_promotions(
    differences: FloatArray, alpha: float, largest_loss: float = LARGEST_LOSS
) -> npt.NDArray[np.int64]:
    """Return how many bars K takes to reach 1 / alpha on each path of `differences`, [paths, bars]; -1: never."""
    wealth = np.ones((len(differences), len(STAKES)))
    found, ended = np.full(len(differences), -1), np.zeros(len(differences), np.bool_)
    for bar, gain in enumerate(differences.T):
        ended |= gain < -largest_loss
        wealth *= 1.0 + STAKES * np.where(ended, 0.0, np.minimum(gain, largest_loss) / largest_loss)[:, None]
        reached = (found < 0) & ~ended & (wealth.mean(axis=1) >= 1.0 / alpha)
        found[reached] = bar + 1
    return found


def first_alarms(differences: FloatArray, limit: float, largest_loss: float = LARGEST_LOSS) -> npt.NDArray[np.int64]:
    """Return how many bars M takes to reach `limit` on each path of `differences`, [paths, bars]; -1: never."""
    state, found = np.zeros((len(differences), len(STAKES))), np.full(len(differences), -1)
    for bar, gain in enumerate(differences.T):
        x = np.clip(gain / largest_loss, -1.0, 1.0)
        state = (1.0 + state) * (1.0 + STAKES * x[:, None])
        found[(found < 0) & (state.mean(axis=1) >= limit)] = bar + 1
    return found
