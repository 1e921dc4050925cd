"""A policy that is read without torch is the policy that torch wrote."""

import json

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.network import load_network
from rl_training.core.ppo.compiling import compile_policy
from rl_training.core.run.checkpoint import load_policy
from rl_training.core.sealed import CheckpointError
from tests.core.deciding.networks import random_policy, stored_network
from tests.trading_cases import random_market

ENVIRONMENT = EnvironmentConfig(features=["log_return_1", "range"])


@pytest.mark.parametrize(("members", "normalises"), [(1, False), (1, True), (3, True)])
def test_actors_are_those_that_torch_compiles(tmp_path, members, normalises):
    network = stored_network(
        tmp_path, random_policy(ENVIRONMENT, members, normalises), ENVIRONMENT, random_market(9, 0)
    )
    saved = load_policy(tmp_path / "policy")
    for mine, theirs in zip(network.actor, compile_policy(saved.policy), strict=True):
        np.testing.assert_array_equal(mine, theirs)
        assert np.asarray(mine).dtype == np.asarray(theirs).dtype
    assert (network.digest, network.trained_until) == (saved.digest, "2024-01-05T00:00:00")
    assert (network.statistics, network.environment) == (saved.statistics, ENVIRONMENT)


def test_damaged_weights_are_refused(tmp_path):
    stored_network(tmp_path, random_policy(ENVIRONMENT), ENVIRONMENT, random_market(9, 0))
    file = tmp_path / "policy" / "policy.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256 is not the digest"):
        load_network(tmp_path / "policy")


def test_changed_manifest_is_refused(tmp_path):
    stored_network(tmp_path, random_policy(ENVIRONMENT), ENVIRONMENT, random_market(9, 0))
    file = tmp_path / "policy" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["environment"]["positions"] = [1.0, 0.0, -1.0]
    file.write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="damaged"):
        load_network(tmp_path / "policy")


def test_missing_policy_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_network(tmp_path)
