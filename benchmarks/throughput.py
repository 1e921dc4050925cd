"""How many environment steps per second the whole of PPO makes, against what the machine can multiply and its peers.

python -m benchmarks.throughput [--rounds N] [--device cpu|cuda] [--threads N] [--json]

Everything is measured in turn in each round, so that what else the machine does weighs on all alike; figures are
medians over the rounds. docs/performance.md says how each is measured.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv
from threadpoolctl import threadpool_info
from tqdm import tqdm

from benchmarks.stable_baselines import SteppedTogether, make
from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.market.bars import MarketData
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.ppo import PPO, choose_device
from rl_training.core.trading.environment import TradingEnv, TradingVectorEnv
from rl_training.core.trading.features import FeatureStatistics

ENVIRONMENT = EnvironmentConfig()
# A setting for speed, that of other implementations' published figures, beside the product's defaults.
OURS_BEST = {"num_envs": 1024, "rollout_length": 32, "minibatch_size": 4096}
# stable-baselines3's own defaults, and the setting that is its fastest on markets.
SB3_DEFAULT = PPOConfig(num_envs=8, rollout_length=2048, minibatch_size=64, epochs=10)
SB3_BEST = PPOConfig(num_envs=32, rollout_length=128, minibatch_size=512, epochs=4)
# Five years of minutes.
MANY_BARS = 2_600_000
PHASES = ("collect", "estimate", "update")
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
    parser.add_argument("--json", action="store_true", help="print the figures as a JSON object on the last line")
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads: at least 1")
    if options.device == "cuda":
        choose_device("cuda", parameters=0)
    return options


class TimedPPO(PPO):
    """Adds up the seconds that each phase of an iteration takes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seconds = dict.fromkeys(PHASES, 0.0)
        for phase in PHASES:
            setattr(self, phase, self._timed(phase, getattr(self, phase)))

    def _timed(self, phase: str, carry_out: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            started = self._now()
            result = carry_out(*given)
            self.seconds[phase] += self._now() - started
            return result

        return timed

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def measure(defaults: PPOConfig, threads: int, rounds: int) -> list[dict[str, float]]:
    """The figures of each round: steps per second, or of the phases seconds per step."""
    config = defaults.model_copy(update=OURS_BEST)
    market, long_market = load_market(MarketConfig()), random_walk(MANY_BARS)
    ours, by_default = trainer(market, config, threads), trainer(market, defaults, threads)
    on_many_bars = trainer(long_market, config, threads)
    theirs: dict[str, Callable[[], float]] = {
        "sb3_default": lambda: peer(as_documented(market, SB3_DEFAULT), SB3_DEFAULT, 16_384),
        "sb3_best": lambda: peer(as_documented(market, SB3_BEST), SB3_BEST, 16_384),
        "sb3_stepped_together": lambda: peer(together(market, SB3_BEST), SB3_BEST, 32_768),
    }
    found = []
    for _ in tqdm(range(rounds), unit="round", disable=None):
        figures = {"gflops": multiplied(config, threads)}
        figures |= learnt(ours, config)
        figures["defaults"] = learnt(by_default, defaults)["steps_per_second"]
        figures["many_bars"] = learnt(on_many_bars, config)["steps_per_second"]
        figures["evaluation"] = evaluated(on_many_bars, long_market)
        figures |= {name: measured() for name, measured in theirs.items()}
        found.append(figures)
    return found


def trainer(market: MarketData, config: PPOConfig, threads: int) -> TimedPPO:
    """Compiled and warm."""
    ppo = TimedPPO(TradingVectorEnv(market, ENVIRONMENT, config.num_envs, 0), config, 0, threads)
    ppo.learn(2 * config.num_envs * config.rollout_length)
    return ppo


def learnt(ppo: TimedPPO, config: PPOConfig, at_least: int = 262_144) -> dict[str, float]:
    """Over so many steps, rounded up to whole rollouts."""
    rollout = config.num_envs * config.rollout_length
    steps = math.ceil(at_least / rollout) * rollout
    ppo.seconds = dict.fromkeys(PHASES, 0.0)
    started = ppo._now()
    ppo.learn(ppo.timesteps + steps)
    seconds = ppo._now() - started
    return {"steps_per_second": steps / seconds} | {phase: ppo.seconds[phase] / steps for phase in PHASES}


def as_documented(market: MarketData, config: PPOConfig) -> VecEnv:
    """As stable-baselines3's documentation makes several environments; it records episodes, as we do."""
    return make_vec_env(lambda: TradingEnv(market, ENVIRONMENT), n_envs=config.num_envs)


def together(market: MarketData, config: PPOConfig) -> VecEnv:
    return SteppedTogether(TradingVectorEnv(market, ENVIRONMENT, config.num_envs, 0))


def peer(env: VecEnv, config: PPOConfig, steps: int) -> float:
    """stable-baselines3's steps per second."""
    model = make(env, config, 0)
    started = time.perf_counter()
    model.learn(steps)
    return model.num_timesteps / (time.perf_counter() - started)


def multiplied(config: PPOConfig, threads: int) -> float:
    """Billions of floating-point operations a second in the product [4096, 64] x [64, 64]: the best of its repeats."""
    torch.set_num_threads(threads)
    device = torch.device(config.device)
    rows, weights = torch.randn(4096, 64, device=device), torch.randn(64, 64, device=device)
    product = torch.empty(4096, 64, device=device)
    repeats, best = 200, 0.0
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(repeats):
            torch.mm(rows, weights, out=product)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, repeats / (time.perf_counter() - started))
    torch.set_num_threads(1)
    return best * 2 * product.numel() * len(weights) / 1e9


def evaluated(ppo: PPO, market: MarketData) -> float:
    """Bars a second of an evaluation, its confidence intervals included."""
    bars = market[: len(market) // 5]
    started = time.perf_counter()
    evaluate(ppo.policy, bars, ENVIRONMENT, statistics=FeatureStatistics.fit(bars, ENVIRONMENT))
    return len(bars) / (time.perf_counter() - started)


def kernels() -> str:
    """Which kernels our products run on: OPENBLAS_CORETYPE may hold OpenBLAS to others than the processor's own."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = {f"{library['internal_api']}, {library.get('architecture', '')}" for library in libraries}
    held = os.environ.get("OPENBLAS_CORETYPE")
    return " and ".join(sorted(names)) + (f", held to by OPENBLAS_CORETYPE={held}" if held else "")


def operations(config: PPOConfig) -> int:
    """Floating-point operations of a step in the products: forward once, then forward and backward in each epoch.

    With W weights in the matrices of actor and critic: 2W (1 + 3 epochs).
    """
    observed = TradingEnv(random_walk(2_000), ENVIRONMENT).observation_space.shape
    assert observed is not None
    layers = [observed[0], *config.hidden_sizes]
    hidden = sum(inputs * outputs for inputs, outputs in itertools.pairwise(layers))
    weights = 2 * hidden + layers[-1] * (len(ENVIRONMENT.positions) + 1)
    return 2 * weights * (1 + 3 * config.epochs)


def random_walk(bars: int) -> MarketData:
    """Minutes of a market that moves by 2 bp each."""
    generator = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 2e-4, bars)))
    opened = np.concatenate([[100.0], close[:-1]])
    return MarketData(
        timestamp=np.datetime64("2020-01-01", "ns") + 60 * 10**9 * np.arange(bars).astype("timedelta64[ns]"),
        open=opened,
        high=np.maximum(opened, close),
        low=np.minimum(opened, close),
        close=close,
        volume=generator.uniform(1, 100, bars),
    )


def summarise(rounds: list[dict[str, float]], config: PPOConfig) -> dict[str, Any]:
    """Medians over the rounds; of ratios, too, the median of the rounds' own."""

    def median(of: Callable[[dict[str, float]], float]) -> float:
        return statistics.median(of(figures) for figures in rounds)

    work = operations(config) / 1e9
    names = ("steps_per_second", "defaults", "many_bars", "evaluation", *THEIRS)
    return {
        **{name: round(median(lambda found, name=name: found[name])) for name in names},
        "bound": round(median(lambda found: found["gflops"] / work)),
        "fraction_of_bound": median(lambda found: found["steps_per_second"] * work / found["gflops"]),
        "ratio_default": median(lambda found: found["steps_per_second"] / found["sb3_default"]),
        "ratio_best": median(lambda found: found["steps_per_second"] / found["sb3_best"]),
        "ratio_stepped_together": median(lambda found: found["steps_per_second"] / found["sb3_stepped_together"]),
        "many_bars_fraction": median(lambda found: found["many_bars"] / found["steps_per_second"]),
        "gflops": median(lambda found: found["gflops"]),
        "microseconds": {phase: 1e6 * median(lambda found, phase=phase: found[phase]) for phase in PHASES},
    }


def table(figures: dict[str, Any]) -> str:
    """In Markdown."""
    phases = ", ".join(f"{phase} {took:.2f} us" for phase, took in figures["microseconds"].items())
    rows = (
        ("whole PPO", figures["steps_per_second"], phases),
        ("the same with all defaults", figures["defaults"], ""),
        (f"bound, {figures['gflops']:.0f} GFLOP/s", figures["bound"], f"{figures['fraction_of_bound']:.0%} reached"),
        (f"{MANY_BARS:,} bars", figures["many_bars"], f"{figures['many_bars_fraction']:.0%} of the throughput"),
        ("evaluation of a fifth of them", figures["evaluation"], "bars, one account"),
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
