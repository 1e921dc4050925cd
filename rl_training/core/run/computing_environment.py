"""The computing environment of a run: the versions and kernels that decide how its sums are rounded."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import llvmlite.binding
import numba
import numpy as np
import torch
from threadpoolctl import threadpool_info

from rl_training.core import __version__
from rl_training.core.compiled import SOURCES_DIGEST
from rl_training.core.config import TrainingConfig
from rl_training.core.ppo.compute import MOST_COMPILED_PARAMETERS
from rl_training.core.ppo.ppo import choose_device
from rl_training.core.trading.observation import observation_names

# The libraries that compute.
LIBRARIES = ("gymnasium", "llvmlite", "numba", "numpy", "scipy")
# The key of the environments of earlier attempts.
EARLIER = "earlier"


def computing_environment(config: TrainingConfig, threads: int) -> dict[str, Any]:
    """Return the computing environment of a run of `config` in this process, as JSON values.

    code       version of the project, and the SHA-256 of the sources of core that this process has loaded
    libraries  versions of Python and of the libraries that compute
    kernels    what the libraries choose for the processor: the processor and its features as numba sees them, the
               vector instructions of numpy and of torch, the kernels of each BLAS
    device     cpu, or the name of the CUDA device with the version of CUDA
    threads    processor threads, where the result depends on their number; else null

    Two runs of the same config, bars and initial weights have the same result to the bit if all these are equal. Raises
    ValueError if the config requires a device that is missing.
    """
    parameters = parameter_count(config)
    device = choose_device(config.ppo.device, parameters)
    depends = device.type == "cpu" and parameters > MOST_COMPILED_PARAMETERS
    return {
        "code": {"version": __version__, "sha256": SOURCES_DIGEST},
        "libraries": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            **{name: version(name) for name in LIBRARIES},
        },
        "kernels": _kernels(),
        "device": "cpu" if device.type == "cpu" else f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}",
        "threads": threads if depends else None,
    }


def parameter_count(config: TrainingConfig) -> int:
    """Return the number of parameters of actor and critic together, of one member."""
    observed, actions = len(observation_names(config.environment)), len(config.environment.positions)
    return sum(
        (inputs + 1) * outputs
        for last in (actions, 1)
        for inputs, outputs in pairwise([observed, *config.ppo.hidden_sizes, last])
    )


def with_earlier(environment: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the environment of an attempt, with the different environments of the run's earlier attempts.

    `stored` is the environment that the previous attempt stored. A run that is resumed elsewhere has parts from each
    environment.
    """
    if stored is None:
        return environment
    last = {name: value for name, value in stored.items() if name != EARLIER}
    earlier = [other for other in [*stored.get(EARLIER, []), last] if other != environment]
    distinct = [other for number, other in enumerate(earlier) if other not in earlier[:number]]
    return {**environment, EARLIER: distinct} if distinct else environment


def _kernels() -> dict[str, Any]:
    config: Any = numba.config
    features = config.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()
    found = np.show_config(mode="dicts").get("SIMD Extensions", {})
    blas = [entry for entry in threadpool_info() if entry["user_api"] == "blas"]
    return {
        "machine": platform.machine(),
        "processor": config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
        "features": " ".join(sorted(name[1:] for name in features.split(",") if name.startswith("+"))),
        "numpy": " ".join(found.get("baseline", []) + found.get("found", [])),
        "torch": torch.backends.cpu.get_cpu_capability(),
        "blas": sorted(f"{b['internal_api']} {b['version']} {b.get('architecture', '')}".rstrip() for b in blas),
    }
