"""Measures how many environment steps per second a complete PPO makes.

python -m benchmarks.throughput [--rounds N] [--device cpu|cuda] [--threads N] [--json]

PPO is compared with the machine's bound for matrix products, and with stable-baselines3. Each round measures everything
once, so that other load on the machine slows all measurements alike; results are medians over the rounds.
docs/performance.md says how each result is measured.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from tqdm import tqdm

from benchmarks.training_speed.machine import gigaflops, kernels, operations
from benchmarks.training_speed.random_walk import random_walk
from benchmarks.training_speed.stable_baselines import stepped_apart, stepped_together, steps_per_second
from benchmarks.training_speed.timed_ppo import ENVIRONMENT, PHASES, measured_learning, trainer
from rl_training.core.config import PPOConfig
from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.market.bars import MarketData
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.ppo import PPO, choose_device
from rl_training.core.trading.features import FeatureStatistics

# A setting for speed, like the settings of other implementations' published results. The defaults are measured too.
OURS_BEST = {"num_envs": 1024, "rollout_length": 32, "minibatch_size": 4096}
# stable-baselines3's own defaults, and its fastest setting on markets.
SB3_DEFAULT = PPOConfig(num_envs=8, rollout_length=2048, minibatch_size=64, epochs=10)
SB3_BEST = PPOConfig(num_envs=32, rollout_length=128, minibatch_size=512, epochs=4)
# Five years of one-minute bars.
MANY_BARS = 2_600_000
THEIRS = ("sb3_default", "sb3_best", "sb3_stepped_together")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    defaults = PPOConfig(device=options.device)
    figures = summarise(measure(defaults, options.threads, options.rounds), defaults)
    figures |= {"device": options.device, "threads": options.threads, "rounds": options.rounds, "kernels": kernels()}
    print(table(figures))
    if options.json:
        print(json.dumps(figures))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="Environment steps a second.")
    parser.add_argument("--rounds", type=int, default=5, help="how often everything is measured in turn; 5 by default")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    cores = os.cpu_count() or 1
    parser.add_argument("--threads", type=int, default=cores, help=f"processor threads; {cores} by default, all cores")
    parser.add_argument("--json", action="store_true", help="print the results as a JSON object on the last line")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads: at least 1")
    if options.device == "cuda":
        choose_device("cuda", parameters=0)
    return options


def measure(defaults: PPOConfig, threads: int, rounds: int) -> list[dict[str, float]]:
    """Return the results of each round: steps per second, and for the phases seconds per step."""
    config = defaults.model_copy(update=OURS_BEST)
    market, long_market = load_market(MarketConfig()), random_walk(MANY_BARS)
    ours, by_default = trainer(market, config, threads), trainer(market, defaults, threads)
    on_many_bars = trainer(long_market, config, threads)
    theirs: dict[str, Callable[[], float]] = {
        "sb3_default": lambda: steps_per_second(stepped_apart(market, ENVIRONMENT, SB3_DEFAULT), SB3_DEFAULT, 16_384),
        "sb3_best": lambda: steps_per_second(stepped_apart(market, ENVIRONMENT, SB3_BEST), SB3_BEST, 16_384),
        "sb3_stepped_together": lambda: steps_per_second(
            stepped_together(market, ENVIRONMENT, SB3_BEST), SB3_BEST, 32_768
        ),
    }
    found = []
    for _ in tqdm(range(rounds), unit="round", disable=None):
        figures = {"gflops": gigaflops(config, threads)}
        figures |= measured_learning(ours, config)
        figures["defaults"] = measured_learning(by_default, defaults)["steps_per_second"]
        figures["many_bars"] = measured_learning(on_many_bars, config)["steps_per_second"]
        figures["evaluation"] = evaluated(on_many_bars, long_market)
        figures |= {name: measured() for name, measured in theirs.items()}
        found.append(figures)
    return found


def evaluated(ppo: PPO, market: MarketData) -> float:
    """Return the bars per second of an evaluation, confidence intervals included."""
    bars = market[: len(market) // 5]
    started = time.perf_counter()
    evaluate(ppo.policy, bars, ENVIRONMENT, statistics=FeatureStatistics.fit(bars, ENVIRONMENT))
    return len(bars) / (time.perf_counter() - started)


def summarise(rounds: list[dict[str, float]], config: PPOConfig) -> dict[str, Any]:
    """Return medians over the rounds. The median of a ratio is taken over the ratios of the rounds."""

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(of(figures) for figures in rounds)

    work = operations(config) / 1e9
    names = ("steps_per_second", "defaults", "many_bars", "evaluation", *THEIRS)
    return {
        **{name: round(median(itemgetter(name))) for name in names},
        "bound": round(median(lambda found: found["gflops"] / work)),
        "fraction_of_bound": median(lambda found: found["steps_per_second"] * work / found["gflops"]),
        "ratio_default": median(lambda found: found["steps_per_second"] / found["sb3_default"]),
        "ratio_best": median(lambda found: found["steps_per_second"] / found["sb3_best"]),
        "ratio_stepped_together": median(lambda found: found["steps_per_second"] / found["sb3_stepped_together"]),
        "many_bars_fraction": median(lambda found: found["many_bars"] / found["steps_per_second"]),
        "gflops": median(lambda found: found["gflops"]),
        "microseconds": {phase: 1e6 * median(itemgetter(phase)) for phase in PHASES},
    }


def table(figures: dict[str, Any]) -> str:
    """Return the results as a Markdown table."""
    phases = ", ".join(f"{phase} {took:.2f} us" for phase, took in figures["microseconds"].items())
    rows = (
        ("whole PPO", figures["steps_per_second"], phases),
        ("the same with all defaults", figures["defaults"], ""),
        (f"bound, {figures['gflops']:.0f} GFLOP/s", figures["bound"], f"{figures['fraction_of_bound']:.0%} reached"),
        (f"{MANY_BARS:,} bars", figures["many_bars"], f"{figures['many_bars_fraction']:.0%} of the throughput"),
        ("evaluation of a fifth of them", figures["evaluation"], "bars, six accounts with intervals"),
        ("stable-baselines3, its defaults", figures["sb3_default"], f"ours {figures['ratio_default']:.0f} times"),
        ("stable-baselines3, its fastest", figures["sb3_best"], f"ours {figures['ratio_best']:.1f} times"),
        (
            "the same on TradingVectorEnv",
            figures["sb3_stepped_together"],
            f"ours {figures['ratio_stepped_together']:.1f} times",
        ),
    )
    lines = [f"| {name:31} | {steps:>14,} | {note} |" for name, steps, note in rows]
    head = [f"Products by {figures['kernels']}.", "", f"| {'':31} | steps a second | |", "|---|---|---|"]
    return "\n".join([*head, *lines])


if __name__ == "__main__":
    main()
