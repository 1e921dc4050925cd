import errno
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rl_training.core.config import EnvironmentConfig
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.run.checkpoint import (
    load_checkpoint,
    load_policy,
    save_checkpoint,
    save_policy,
    tensor_digest,
)
from rl_training.core.sealed import CheckpointError
from rl_training.core.trading.features import FeatureStatistics

SHAPE = PolicyShape(
    observation_size=4,
    action_count=2,
    first_action=0,
    hidden_sizes=(8, 8),
    normalises_observations=True,
    normalises_rewards=True,
)
ENVIRONMENT = EnvironmentConfig(features=["log_return_1"], positions=[0.0, 1.0])
STATISTICS = FeatureStatistics(names=("log_return_1",), mean=(0.1,), scale=(1 / 3,))
TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor([True, False]), "c": torch.empty(0, 2)}
STATE = {"done": 2**100, "rewards": [0.1, -1e-300], "name": "é"}


@pytest.fixture
def policy():
    policy = Policy.create(SHAPE, torch.Generator().manual_seed(3))
    assert policy.observations is not None
    policy.observations.update(np.random.default_rng(0).normal(5, 2, (100, 4)).astype(np.float32))
    return policy


@pytest.fixture
def saved(tmp_path, policy):
    save_policy(
        tmp_path / "1", policy, environment=ENVIRONMENT, statistics=STATISTICS, metadata={"bars": 7, "digest": "ab"}
    )
    return tmp_path / "1"


@pytest.fixture
def checkpoint(tmp_path):
    save_checkpoint(tmp_path / "run.checkpoint", TENSORS, STATE)
    return tmp_path / "run.checkpoint"


def flip_a_bit(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_a_loaded_policy_equals_the_saved_one(saved, policy):
    loaded = load_policy(saved)
    observations = np.random.default_rng(1).normal(5, 2, (50, 4)).astype(np.float32)
    assert loaded.predict(observations).tolist() == policy.predict(observations).tolist()
    assert (loaded.environment, loaded.statistics, loaded.policy.shape) == (ENVIRONMENT, STATISTICS, SHAPE)
    assert loaded.manifest["metadata"] == {"bars": 7, "digest": "ab"}
    assert loaded.digest == tensor_digest(policy.tensors()) == tensor_digest(loaded.policy.tensors())
    assert sorted(entry.name for entry in saved.iterdir()) == ["manifest.json", "policy.safetensors"]


def test_saving_over_a_policy_replaces_it(saved):
    other = Policy.create(SHAPE, torch.Generator().manual_seed(4))
    digest = save_policy(saved, other, environment=ENVIRONMENT, statistics=STATISTICS, metadata={})
    assert load_policy(saved).digest == digest
    assert [entry.name for entry in saved.parent.iterdir()] == ["1"]


def test_a_loaded_checkpoint_equals_the_saved_one(checkpoint):
    tensors, state = load_checkpoint(checkpoint)
    assert state == STATE
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_digest_depends_on_names_types_shapes_and_values():
    zeros = torch.zeros(2, 3)
    digests = [
        tensor_digest(tensors)
        for tensors in (
            {"a": zeros},
            {"b": zeros},
            {"a": zeros.reshape(3, 2)},
            {"a": zeros.int()},
            {"a": zeros + 1e-45},
            {"a": -zeros},
            {"a": zeros, "b": zeros},
        )
    ]
    assert len(set(digests)) == len(digests)
    assert tensor_digest({"b": zeros, "a": zeros}) == digests[-1]
    assert tensor_digest({"a": torch.zeros(3, 2).t()}) == digests[0]
    assert tensor_digest({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize("name", ["manifest.json", "policy.safetensors"])
def test_a_missing_file_is_refused_with_its_name(saved, name):
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"1/{name}: cannot be read: No such file"):
        load_policy(saved)


@pytest.mark.parametrize("name", ["manifest.json", "policy.safetensors"])
def test_every_truncation_of_a_policy_is_refused(saved, name):
    data = (saved / name).read_bytes()
    for length in range(0, len(data), 97):
        (saved / name).write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=f"1/{name}: damaged"):
            load_policy(saved)


def test_every_truncation_of_a_checkpoint_is_refused(checkpoint):
    data = checkpoint.read_bytes()
    for length in range(0, len(data), 7):
        checkpoint.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"run\.checkpoint: damaged"):
            load_checkpoint(checkpoint)


def test_every_flipped_bit_in_a_checkpoint_is_refused(checkpoint):
    for position in range(len(checkpoint.read_bytes())):
        flip_a_bit(checkpoint, position)
        with pytest.raises(CheckpointError, match=r"run\.checkpoint: (damaged|format)"):
            load_checkpoint(checkpoint)
        flip_a_bit(checkpoint, position)
    load_checkpoint(checkpoint)


@pytest.mark.parametrize("name", ["manifest.json", "policy.safetensors"])
def test_flipped_bits_in_a_policy_are_refused(saved, name):
    for position in range(0, len((saved / name).read_bytes()), 31):
        flip_a_bit(saved / name, position)
        with pytest.raises(CheckpointError, match=rf"1/{name}: (damaged|format)"):
            load_policy(saved)
        flip_a_bit(saved / name, position)
    load_policy(saved)


def test_tensors_of_another_policy_are_refused(saved, policy):
    other = Policy.create(SHAPE, torch.Generator().manual_seed(4))
    save_file(other.tensors(), saved / "policy.safetensors")
    with pytest.raises(CheckpointError, match=r"policy\.safetensors: damaged"):
        load_policy(saved)


def test_another_format_is_refused(saved, tmp_path):
    manifest = json.loads((saved / "manifest.json").read_text())
    (saved / "manifest.json").write_text(json.dumps({**manifest, "format": 3}))
    with pytest.raises(CheckpointError, match=r"manifest\.json: format 3; this program reads format 1 and 2"):
        load_policy(saved)
    save_file(TENSORS, tmp_path / "other", metadata={"checkpoint": '{"format": 0}'})
    with pytest.raises(CheckpointError, match="other: format 0; this program reads format 2, 3 and 4"):
        load_checkpoint(tmp_path / "other")


def test_a_file_of_another_program_is_refused(tmp_path):
    save_file(TENSORS, tmp_path / "other")
    with pytest.raises(CheckpointError, match="other: damaged: not JSON"):
        load_checkpoint(tmp_path / "other")
    (tmp_path / "other").write_bytes(b"\x80\x04N." * 100)
    with pytest.raises(CheckpointError, match="other: damaged"):
        load_checkpoint(tmp_path / "other")
    with pytest.raises(CheckpointError, match="cannot be read: Is a directory"):
        load_checkpoint(tmp_path)


def test_values_that_json_cannot_hold_are_refused_before_writing(checkpoint, saved, policy):
    before = load_policy(saved).digest
    for wrong in (float("nan"), object()):
        with pytest.raises(CheckpointError, match="JSON cannot hold its content"):
            save_checkpoint(checkpoint, TENSORS, {"loss": wrong})
        with pytest.raises(CheckpointError, match="JSON cannot hold its content"):
            save_policy(saved, policy, environment=ENVIRONMENT, statistics=STATISTICS, metadata={"loss": wrong})
    assert load_checkpoint(checkpoint)[1] == STATE
    assert load_policy(saved).digest == before


@pytest.mark.parametrize("function", ["fsync", "replace", "rename"])
def test_a_full_disk_leaves_the_former_files_unchanged(checkpoint, saved, policy, monkeypatch, function):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = load_policy(saved).digest
    monkeypatch.setattr(os, function, full)
    if function != "rename":
        with pytest.raises(CheckpointError, match=r"run\.checkpoint: cannot be written: .*No space left"):
            save_checkpoint(checkpoint, {}, {})
    if function != "replace":
        other = Policy.create(SHAPE, torch.Generator().manual_seed(4))
        with pytest.raises(CheckpointError, match=r"1: cannot be written: .*No space left"):
            save_policy(saved, other, environment=ENVIRONMENT, statistics=STATISTICS, metadata={})
    monkeypatch.undo()
    assert load_checkpoint(checkpoint)[1] == STATE
    assert load_policy(saved).digest == before
