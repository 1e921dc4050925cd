import json

import numpy as np
import pytest
import torch

from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.market.bars import split_market
from rl_training.core.ppo.ensemble import Ensemble
from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.checkpoint import load_policy
from rl_training.core.run.progress import Progress
from rl_training.core.run.run_state import member_seed
from rl_training.core.run.training import train
from tests.core.run.small_run import CONFIG, MARKET, Killed, changed, same, stop_after

# 2 episodes of 24 steps in 4 environments: each member has 3 iterations and 192 environment steps.
THREE = changed(CONFIG, episodes=2, seeds=3)


@pytest.fixture(scope="module")
def three():
    return train(THREE, MARKET)


@pytest.fixture(scope="module")
def single():
    """Return the results of the three members as runs by themselves."""
    return [train(changed(THREE, seeds=1, seed=member_seed(7, member)), MARKET) for member in range(3)]


def test_seeds_of_members_are_derived_from_the_runs_seed():
    assert [member_seed(7, member) for member in range(3)] == [7, 369571992, 1009178997]


def test_each_member_is_trained_as_a_run_by_itself(three, single):
    assert isinstance(three.policy, Ensemble)
    for member, alone in zip(three.policy.members, single, strict=True):
        expected = alone.policy.tensors()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in member.tensors().items())
    later = split_market(MARKET, 0.7)[1]
    assert later is not None
    ensemble = Ensemble(tuple(alone.policy for alone in single))
    assert three.evaluation == evaluate(ensemble, later, CONFIG.environment, statistics=three.statistics)


def test_results_are_means_over_the_members(three, single):
    rewards = np.array([alone.episode_rewards for alone in single])
    assert three.episode_rewards == pytest.approx(rewards.mean(axis=0).tolist(), rel=1e-12)
    assert three.avg_reward == pytest.approx(rewards.mean(), rel=1e-12)
    assert three.final_reward == pytest.approx(rewards[:, -1].mean(), rel=1e-12)
    assert three.avg_policy_loss == pytest.approx(np.mean([alone.avg_policy_loss for alone in single]))
    assert (three.environment_steps, three.episodes_done) == (3 * 192, 2)
    assert three.curve["episodes"]["x"] == [1, 2]
    assert three.curve["episodes"]["reward"] == pytest.approx(three.episode_rewards, rel=1e-5)
    assert three.curve["iterations"]["x"] == [1, 2, 3]
    assert three.curve["held_out"]["x"] == [1, 2, 3]
    for name in ("training_reward", "held_out_reward"):
        values = [alone.curve["held_out"][name] for alone in single]
        assert three.curve["held_out"][name] == pytest.approx(np.mean(values, axis=0), rel=1e-4)
    entropies = [alone.curve["iterations"]["entropy"] for alone in single]
    assert three.curve["iterations"]["entropy"] == pytest.approx(np.mean(entropies, axis=0), rel=1e-5)


def test_progress_counts_all_members():
    seen: list[Progress] = []
    iterations: list[Iteration] = []
    train(THREE, MARKET, on_progress=seen.append, on_iteration=iterations.append)
    assert [(one.member, one.episode, one.episodes_done) for one in seen] == [
        *((1, 1, 0), (1, 2, 0), (2, 1, 1), (2, 2, 1), (3, 1, 1), (3, 2, 2))
    ]
    assert [one.environment_steps for one in seen] == [96, 192, 288, 384, 480, 576]
    assert [one.iteration for one in iterations] == list(range(1, 10))
    assert [one.timesteps for one in iterations] == [64, 128, 192, 256, 320, 384, 448, 512, 576]
    rewards = [one.episode_reward for one in seen]
    assert [one.avg_reward for one in seen] == pytest.approx([np.mean(rewards[:n]) for n in range(1, 7)])


# Iterations 3 and 6 are the last of a member.
@pytest.mark.parametrize("iteration", range(2, 10))
def test_a_killed_run_resumes_with_the_same_result(tmp_path, three, iteration):
    def kill(seen):
        if seen.iteration == iteration:
            raise Killed

    with pytest.raises(Killed):
        train(THREE, MARKET, checkpoint=tmp_path / "run", on_iteration=kill, checkpoint_seconds=0)
    resumed: list[Iteration] = []
    result = train(THREE, MARKET, checkpoint=tmp_path / "run", on_iteration=resumed.append)
    assert resumed[0].iteration == iteration
    assert same(result, three)


@pytest.mark.parametrize("iteration", [1, 3, 5])
def test_a_stop_ends_the_run_and_not_only_the_member(tmp_path, three, iteration):
    first = train(THREE, MARKET, checkpoint=tmp_path / "run", should_stop=stop_after(iteration))
    assert first.stopped
    assert first.environment_steps == 64 * iteration
    assert len(first.policy.members) == (iteration - 1) // 3 + 1
    assert same(train(THREE, MARKET, checkpoint=tmp_path / "run"), three)


def test_a_saved_version_of_several_members_decides_like_the_trained_one(tmp_path, three):
    digest = three.save(tmp_path / "policy")
    saved = load_policy(tmp_path / "policy")
    observations = np.random.default_rng(0).normal(size=(50, 4))
    assert saved.predict(observations).tolist() == three.policy.predict(observations).tolist()
    assert (digest, saved.digest) == (three.weights_digest, three.weights_digest)
    manifest = json.loads((tmp_path / "policy" / "manifest.json").read_text())
    assert (manifest["format"], manifest["members"]) == (2, 3)


def test_a_version_of_one_member_keeps_the_first_format(tmp_path, single):
    single[0].save(tmp_path / "policy")
    manifest = json.loads((tmp_path / "policy" / "manifest.json").read_text())
    assert (manifest["format"], "members" in manifest) == (1, False)


def test_members_start_from_the_members_of_the_initial_policy_in_turn(tmp_path, three):
    three.save(tmp_path / "policy")
    still = changed(THREE, ppo__learning_rate=1e-12, seeds=4)
    result = train(still, MARKET, initial_policy=load_policy(tmp_path / "policy"))
    for number, member in enumerate(result.policy.members):
        before = three.policy.members[number % 3].tensors()
        for name, tensor in member.tensors().items():
            if name.startswith("network."):
                torch.testing.assert_close(tensor, before[name], rtol=0, atol=1e-8)
