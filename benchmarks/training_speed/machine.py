"""The machine's speed at matrix products, and the products of a PPO step: the bound of PPO's throughput."""

import itertools
import os
import time

import torch
from threadpoolctl import threadpool_info

from benchmarks.training_speed.random_walk import random_walk
from benchmarks.training_speed.timed_ppo import ENVIRONMENT
from rl_training.core.config import PPOConfig
from rl_training.core.trading.environment import TradingEnv


def gigaflops(config: PPOConfig, threads: int) -> float:
    """Return billions of floating-point operations per second in the product [4096, 64] x [64, 64], the best of ten."""
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


def kernels() -> str:
    """Return the names of the BLAS kernels in use, and OPENBLAS_CORETYPE if it overrides the processor's own."""
    libraries = [library for library in threadpool_info() if library["user_api"] == "blas"]
    names = {f"{library['internal_api']}, {library.get('architecture', '')}" for library in libraries}
    override = os.environ.get("OPENBLAS_CORETYPE")
    return " and ".join(sorted(names)) + (f", held to by OPENBLAS_CORETYPE={override}" if override else "")


def operations(config: PPOConfig) -> int:
    """Return the floating-point operations of an environment step in matrix products.

    With W weights in the matrices of actor and critic, they are 2W (1 + 3 epochs): a forward pass in the rollout, then
    a forward and a backward pass in each epoch.
    """
    observed = TradingEnv(random_walk(2_000), ENVIRONMENT).observation_space.shape
    assert observed is not None
    layers = [observed[0], *config.hidden_sizes]
    hidden = sum(inputs * outputs for inputs, outputs in itertools.pairwise(layers))
    weights = 2 * hidden + layers[-1] * (len(ENVIRONMENT.positions) + 1)
    return 2 * weights * (1 + 3 * config.epochs)
