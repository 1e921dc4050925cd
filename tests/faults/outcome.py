"""What a case ends with, seen from outside."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from rl_training.core.config import TrainingConfig
from rl_training.core.market.sources import load_market
from rl_training.core.run.training import train
from tests.faults.system import PPO, RECOVERY_SECONDS, Row, System
from tests.waiting import wait_for


def uninterrupted(run: Row) -> str:
    """The digest of the weights that the run's config leads to when nothing happens."""
    stored = run["config"]
    config = TrainingConfig.model_validate(json.loads(stored) if isinstance(stored, str) else stored)
    return train(config, load_market(config.market)).weights_digest


def all_end_as_if_nothing_had_happened(
    system: System, attempts: Sequence[int], seconds: float = RECOVERY_SECONDS
) -> None:
    """So many runs, each a policy's first, succeed in so many attempts, with the weights of undisturbed ones."""
    runs = system.wait_for_runs(len(attempts), seconds)
    assert [(run["status"], run["error"], run["attempt"]) for run in runs] == [("succeeded", "", n) for n in attempts]
    system.wait_until_all_holds()
    assert sorted(system.weights()) == sorted(uninterrupted(run) for run in runs)


def resumed_at(system: System) -> int:
    """The iteration that the last worker to take a run up again began after; 0: from the start."""
    logs = [path.read_text() for path in sorted(system.folder.glob("*.log"), key=lambda path: path.stat().st_mtime)]
    steps = re.findall(r"Resumed from checkpoint .*environment_steps=(\d+)", "".join(logs))
    return int(steps[-1]) // (PPO["num_envs"] * PPO["rollout_length"]) if steps else 0


def logged(system: System, process: str, words: str) -> bool:
    """Whether a process has said so."""
    return words in (system.folder / f"{process}.log").read_text()


def child_of(system: System, worker: str) -> int:
    """The process that trains, of a worker's pool of one."""
    parent = system.processes[worker].pid

    def only_child() -> int:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return int(children[0]) if children else 0

    return wait_for(only_child, "the worker's pool")
