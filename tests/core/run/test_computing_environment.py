import json

import torch

from rl_training.core import __version__
from rl_training.core.compiled import SOURCES_DIGEST
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.run.computing_environment import computing_environment, parameter_count, with_earlier
from tests.core.run.small_run import CONFIG, changed


def test_environment_names_code_libraries_kernels_and_device():
    found = computing_environment(CONFIG, threads=2)
    assert found["code"] == {"version": __version__, "sha256": SOURCES_DIGEST}
    assert found["libraries"]["torch"] == torch.__version__
    assert set(found["libraries"]) == {"python", "torch", "gymnasium", "llvmlite", "numba", "numpy", "scipy"}
    assert set(found["kernels"]) == {"machine", "processor", "features", "numpy", "torch", "blas"}
    assert all(found["kernels"].values())
    assert (found["device"], found["threads"]) == ("cpu", None)
    assert json.loads(json.dumps(found)) == found


def test_threads_are_named_where_the_result_depends_on_them():
    large = changed(CONFIG, ppo__hidden_sizes=[1024, 1024], ppo__device="cpu")
    assert computing_environment(large, threads=2)["threads"] == 2


def test_parameter_count_equals_that_of_the_networks():
    policy = Policy.create(PolicyShape(4, 3, 0, (8,), False, False))
    assert parameter_count(CONFIG) == sum(part.numel() for part in policy.network.parameters())


def test_run_resumed_elsewhere_keeps_the_earlier_environments():
    here, there = {"device": "cpu"}, {"device": "NVIDIA H100, CUDA 12.8"}
    assert with_earlier(here, None) == here
    assert with_earlier(here, here) == here
    moved = with_earlier(there, here)
    assert moved == {**there, "earlier": [here]}
    assert with_earlier(there, moved) == moved
    assert with_earlier(here, moved) == {**here, "earlier": [there]}
