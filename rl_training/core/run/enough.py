"""Checks if there are enough bars for a run, from their number and the settings alone. Needs no torch."""

import math

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import training_bars
from rl_training.core.trading.features import longest_window


def too_few_bars(bars: int, train_fraction: float, environment: EnvironmentConfig) -> str:
    """Return a message that says how many bars a run needs, or an empty text if `bars` are enough.

    With a `train_fraction` of 1, no bars are needed for evaluation.
    """
    window, length = longest_window(environment.features), environment.episode_length
    training = training_bars(bars, train_fraction)
    shortages, in_all = [], 0
    for part, of, needed, purpose, decisions in (
        (training, train_fraction, window + length + 1, "to train on", f"an episode's {length} decisions"),
        (bars - training, 1 - train_fraction, window + 2, "to evaluate on", "one decision"),
    ):
        if part < needed and of:
            shortages.append(
                f"{part} of the {bars} {'bar is' if bars == 1 else 'bars are'} {purpose}, but at least {needed} are "
                f"needed: {window} of the features' longest window, {decisions} and the bar after"
            )
            in_all = max(in_all, math.ceil(needed / of))
    if not shortages:
        return ""
    return f"{'; '.join(shortages)}; with a train_fraction of {train_fraction:g} that is about {in_all} bars in all"
