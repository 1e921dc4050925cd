"""Measures PPO's environment steps per second on a processor and on CUDA, by the size of its networks.

python -m benchmarks.devices [--rounds N]

The threshold of `device: auto` comes from this table. Each round measures everything once; results are medians over the
rounds.
"""

import argparse
import os
import statistics
from collections.abc import Sequence

from tqdm import tqdm

from benchmarks.results.markdown import aligned
from benchmarks.training_speed.timed_ppo import TimedPPO, measured_learning, trainer
from rl_training.core.config import PPOConfig
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.ppo import choose_device

WIDTHS = (64, 96, 128, 192, 256, 512)
PROCESSOR_THREADS = tuple(threads for threads in (2, 4, 8, 16) if threads <= (os.cpu_count() or 1))
# Two rollouts of the default config, for which a wide network takes a second on a processor.
STEPS = 16_384


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description="Steps a second by device.")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured in turn; 5 by default")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: at least 1")
    choose_device("cuda", parameters=0)
    lines = [("hidden layers", "parameters", "CUDA", *(f"{threads} threads" for threads in PROCESSOR_THREADS))]
    for width in tqdm(WIDTHS, unit="width", disable=None):
        lines.append(measured(width, options.rounds))
    print(aligned(lines))


def measured(width: int, rounds: int) -> tuple[str, ...]:
    """Return the line of the table for two hidden layers of this width."""
    market = load_market(MarketConfig())

    def prepared(device: str, threads: int) -> tuple[TimedPPO, PPOConfig]:
        config = PPOConfig.model_validate({"device": device, "hidden_sizes": [width, width]})
        return trainer(market, config, threads), config

    trainers = [prepared("cuda", 1), *(prepared("cpu", threads) for threads in PROCESSOR_THREADS)]
    found = [[measured_learning(*each, STEPS)["steps_per_second"] for each in trainers] for _ in range(rounds)]
    medians = [f"{statistics.median(figures):,.0f}" for figures in zip(*found, strict=True)]
    parameters = len(trainers[0][0].parameters.values)
    return (f"{width}, {width}", f"{parameters:,}", *medians)


if __name__ == "__main__":
    main()
