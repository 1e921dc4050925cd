"""Disks that are full or fail while a checkpoint is written, and checkpoints that are damaged afterwards."""

import json
import os
import re
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from rl_training.core.atomic import previous
from tests.faults.outcome import check_runs_end_undisturbed, child_of, logged
from tests.faults.system import PPO, System

# The calls for the third checkpoint: fsync of its file and folder, then the renaming of the previous checkpoint and of
# the new one.
CALLS = ["fsync:5", "fsync:6", "replace:4", "replace:5"]
MEGABYTE = 2**20
# A checkpoint holds the weights and two moments of each, 6 MB here; no other file of a run is that large.
LARGE = PPO | {"hidden_sizes": [512, 512]}


def launch(system: System, fault: str, policies: int = 1, ppo: dict[str, object] = PPO) -> None:
    system.launch("worker", fault=fault)
    system.schedule(policies)
    system.execute("UPDATE rl_training_policystore SET ppo = %s", json.dumps(ppo))
    system.launch("beat")


def checkpoint(system: System, run_id: str) -> Path:
    return system.folder / "checkpoints" / f"{run_id}-1.safetensors"


@pytest.mark.parametrize(
    "call", [pytest.param(call, marks=[] if call == "replace:5" else pytest.mark.long) for call in CALLS]
)
def test_failed_checkpoint_call_fails_its_run_alone(system, recovery, call):
    launch(system, f"{call}:EIO", policies=2)
    system.wait_for_fault(call.split(":")[0])
    recovery.begins()
    runs = system.wait_for_runs(2)
    recovery.ends()
    [failed, other] = sorted(runs, key=lambda run: run["status"])
    assert (failed["status"], other["status"]) == ("failed", "succeeded")
    path = checkpoint(system, failed["run_id"])
    assert failed["error"] == f"{path}: cannot be written: [Errno 5] Input/output error"
    system.wait_until_invariants_hold()


@pytest.mark.long
@pytest.mark.parametrize("call", CALLS)
def test_checkpoint_before_a_failed_one_is_resumed_from(system, recovery, call):
    launch(system, f"{call}:EIO before_failure:1:SIGKILL")
    system.wait_for_fault("before_failure")
    recovery.begins()
    system.wait_for_attempt(2)
    recovery.ends()
    check_runs_end_undisturbed(system, [2])
    assert logged(system, "worker", "Resumed from checkpoint")


@pytest.mark.long
def test_full_disk_fails_the_run_and_the_next_run_succeeds(system, recovery):
    launch(system, "iteration:20:SIGSTOP", ppo=LARGE)
    system.wait_for_fault("iteration")
    child = child_of(system, "worker")
    resource.prlimit(child, resource.RLIMIT_FSIZE, (5 * MEGABYTE, resource.RLIM_INFINITY))
    os.kill(child, signal.SIGCONT)
    [failed] = system.wait_for_runs()
    path = checkpoint(system, failed["run_id"])
    assert failed["error"] == f"{path}: cannot be written: [Errno 27] File too large"
    resource.prlimit(child, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    recovery.begins()
    system.manage("train_policy", "rl_v3", "--episodes", "2")
    runs = system.wait_for_runs(2)
    recovery.ends()
    assert [run["status"] for run in runs] == ["failed", "succeeded"]
    system.wait_until_invariants_hold()


def truncated(data: bytes) -> bytes:
    return data[: len(data) // 2]


def one_bit_flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 16]) + data[middle + 1 :]


def with_another_format(data: bytes) -> bytes:
    other, replaced = re.subn(rb'(\\"format\\": )\d', rb"\g<1>0", data)
    assert replaced
    return other


@pytest.mark.parametrize(
    ("damage", "both"),
    [
        pytest.param(truncated, False, marks=pytest.mark.long),
        (one_bit_flipped, False),
        pytest.param(with_another_format, False, marks=pytest.mark.long),
        pytest.param(one_bit_flipped, True, marks=pytest.mark.long),
    ],
    ids=["truncated", "one bit flipped", "another format", "one bit flipped, in the previous one too"],
)
def test_damaged_checkpoint_is_not_resumed_from(system, recovery, damage: Callable[[bytes], bytes], both):
    launch(system, "iteration:99:SIGSTOP")
    system.wait_for_fault("iteration")
    worker = system.processes["worker"]
    worker.send_signal(signal.SIGTERM)
    system.send_signal("worker", signal.SIGCONT)
    assert worker.wait(20) == 0
    path = checkpoint(system, system.runs()[0]["run_id"])
    for file in [path, previous(path)][: 1 + both]:
        file.write_bytes(damage(file.read_bytes()))
    recovery.begins()
    system.launch("worker", "other")
    system.wait_for_attempt(2)
    recovery.ends()
    check_runs_end_undisturbed(system, [2])
    assert logged(system, "other", "Checkpoint cannot be used")
    assert logged(system, "other", "Resumed from checkpoint") != both
