"""The processes of a worker: which of them imports torch, and how many threads training uses."""

import json
import os
from pathlib import Path

import pytest

from tests.faults.outcome import child_of
from tests.faults.system import PPO, System

CORES = os.cpu_count() or 1
# Minibatches large enough for torch to use all threads.
LARGE_BATCHES = PPO | {"num_envs": 64, "rollout_length": 64, "minibatch_size": 4096}


class WithDefaultThreads(System):
    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"TRAINING_THREADS": ""}


@pytest.fixture
def system(tmp_path, database_url):
    # New interpreters are used, because a prepared Python would have loaded torch for the parent too.
    with WithDefaultThreads(tmp_path, database_url).running() as system:
        yield system


def holds_torch(pid: int) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def threads_while_training(system: System, name: str, concurrency: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the threads of the training process of a worker with this WORKER_CONCURRENCY, in the middle of a run."""
    monkeypatch.setenv("WORKER_CONCURRENCY", str(concurrency))
    happened = system.folder / "iteration.happened"
    happened.unlink(missing_ok=True)
    system.launch("worker", name, fault="iteration:10:SIGSTOP")
    system.wait_for_fault("iteration")
    return len(list(Path(f"/proc/{child_of(system, name)}/task").iterdir()))


def test_training_process_alone_loads_torch_and_uses_its_share_of_cores(system, monkeypatch):
    system.schedule(policies=2)
    system.execute("UPDATE rl_training_policystore SET ppo = %s", json.dumps(LARGE_BATCHES))
    system.launch("beat")
    alone = threads_while_training(system, "worker", 1, monkeypatch)
    one_of_many = threads_while_training(system, "other", CORES, monkeypatch)
    for worker in ("worker", "other"):
        assert holds_torch(child_of(system, worker))
        assert not holds_torch(system.processes[worker].pid)
    assert alone - one_of_many == CORES - 1
