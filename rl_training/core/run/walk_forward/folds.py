"""The folds of a walk-forward: which bars each trains on and which bars it trades. Needs no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.trading.features import longest_window
from rl_training.core.words import count_of

FOLDS = 8
# The Sharpe ratio of a fold with fewer bars would be meaningless.
FEWEST_TRADED = 20


@dataclass(frozen=True, slots=True)
class Fold:
    """One retraining. It trains on the bars [train_begin, train_end) and trades the bars [begin, end).

    Bars and folds are numbered from 0. The position held through bar t is decided at the close of bar t - 1, so the
    decisions are made at the bars [begin - 1, end - 1).
    """

    number: int
    train_begin: int
    train_end: int
    begin: int
    end: int

    @property
    def gap(self) -> int:
        """The number of bars between the last training bar and the first traded bar."""
        return self.begin - self.train_end

    def training(self, market: MarketData) -> MarketData:
        """Return the bars that the fold trains on."""
        return market[self.train_begin : self.train_end]

    def traded(self, market: MarketData, window: int) -> MarketData:
        """Return the bars that the fold trades, with the `window` + 1 earlier bars that its first decision sees."""
        return market[self.begin - 1 - window : self.end]


def plan_folds(
    bars: int, environment: EnvironmentConfig, *, folds: int = FOLDS, window: int | None = None, gap: int | None = None
) -> tuple[Fold, ...]:
    """Return the folds of a market of `bars` bars.

    The folds have equal length and trade the second half of the bars, up to the last bar. If the division leaves bars
    over, these are trained on, not traded. Each fold trains on all bars before its gap, or on the last `window` of
    them. `gap` is the longest feature window + 1 by default, and may not be less.

    Raises ValueError for fewer than one fold or a shorter gap, and MarketDataError with the number of bars needed if a
    fold would trade fewer than 20 bars or train on less than an episode.
    """
    longest = longest_window(environment.features)
    gap = longest + 1 if gap is None else gap
    if folds < 1 or gap < longest + 1:
        raise ValueError(
            f"walk-forward: {count_of(folds, 'fold')} with a gap of {count_of(gap, 'bar')}; at least 1 fold and "
            f"{longest + 1} bars are needed, the longest feature window, {longest}, and one more"
        )
    trained = longest + environment.episode_length + 1
    needed = 2 * max(trained + gap, folds * FEWEST_TRADED)
    if bars < needed:
        each = "the fold" if folds == 1 else f"each of {folds} folds"
        raise MarketDataError(
            f"walk-forward: {count_of(bars, 'bar')}, but at least {needed:,} are needed: twice the {trained:,} of an "
            f"episode and a gap of {gap:,}, and twice {FEWEST_TRADED} for {each}"
        )
    if window is not None and window < trained:
        raise MarketDataError(
            f"walk-forward: a window of {count_of(window, 'bar')}, but at least {trained:,} are needed: {longest} of "
            f"the features' longest window, an episode's {environment.episode_length} decisions and the bar after"
        )
    length = (bars - bars // 2) // folds
    begins = range(bars - folds * length, bars, length)
    return tuple(
        Fold(number, 0 if window is None else max(0, begin - gap - window), begin - gap, begin, begin + length)
        for number, begin in enumerate(begins)
    )


def check_consecutive(folds: Sequence[Fold]) -> None:
    """Raise ValueError unless the folds are the first folds of a walk-forward, in order, and at least one."""
    numbers = [fold.number for fold in folds]
    joined = all(before.end == after.begin for before, after in pairwise(folds))
    if not folds or numbers != list(range(len(folds))) or not joined:
        raise ValueError(f"walk-forward: folds {numbers} are not the first ones in their order")
