"""The outcome of a fault case: its runs, their weights, and its logs."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from rl_training.core.config import TrainingConfig
from rl_training.core.market.sources import load_market
from rl_training.core.run.training import train
from tests.faults.system import RECOVERY_SECONDS, STEPS, Row, System
from tests.waiting import wait_for


def undisturbed_weights(run: Row) -> str:
    """Return the digest of the weights to which the run's config leads without any fault."""
    stored = run["config"]
    config = TrainingConfig.model_validate(json.loads(stored) if isinstance(stored, str) else stored)
    return train(config, load_market(config.market)).weights_digest


def check_runs_end_undisturbed(system: System, attempts: Sequence[int], seconds: float = RECOVERY_SECONDS) -> None:
    """Check that each policy's first run succeeds in its number of attempts, with the weights of undisturbed runs."""
    runs = system.wait_for_runs(len(attempts), seconds)
    assert [(run["status"], run["error"], run["attempt"]) for run in runs] == [("succeeded", "", n) for n in attempts]
    system.wait_until_invariants_hold()
    assert sorted(system.weights()) == sorted(undisturbed_weights(run) for run in runs)


def resumed_at(system: System) -> int:
    """Return the iteration after which the last worker to resume a run began; 0 for the start."""
    logs = [path.read_text() for path in sorted(system.folder.glob("*.log"), key=lambda path: path.stat().st_mtime)]
    steps = re.findall(r"Resumed from checkpoint .*environment_steps=(\d+)", "".join(logs))
    return int(steps[-1]) // (STEPS["num_envs"] * STEPS["rollout_length"]) if steps else 0


def logged(system: System, process: str, words: str) -> bool:
    """Return whether the process has logged this text."""
    return words in (system.folder / f"{process}.log").read_text()


def child_of(system: System, worker: str) -> int:
    """Return the id of the training process in a worker's pool of one."""
    parent = system.processes[worker].pid

    def only_child() -> int:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(children[0]) if children else 0

    return wait_for(only_child, "the worker's pool")
