import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from rl_training.core.ppo.rollout import EpisodeRecord, Sampler
from tests.counting import counters

ENDS = [(3, True), (4, False), (1, True)]


def transitions(mode, steps):
    """Return each environment's steps: (observation, action, reward, terminated, ended, true next observation)."""
    sampler = Sampler(counters(mode, ENDS), steps)
    sampler.reset(seed=1)
    rollout = sampler.collect(steps, lambda step, observations: (observations[:, 1] % 2).astype(np.int64))
    following = np.concatenate([rollout.observations[1:], rollout.last[None]])
    following[rollout.cut_steps, rollout.cut_envs] = rollout.cut_observations
    return [
        [
            (
                rollout.observations[step, env].tolist(),
                rollout.actions[step, env],
                rollout.rewards[step, env],
                rollout.terminated[step, env],
                rollout.ended[step, env],
                None if rollout.terminated[step, env] else following[step, env].tolist(),
            )
            for step in range(steps)
            if rollout.valid[step, env]
        ]
        for env in range(len(ENDS))
    ]


def test_truncated_episode_keeps_its_true_last_observation():
    first, second, third = transitions(AutoresetMode.SAME_STEP, 4)
    assert first[2] == ([1, 2], 0, 1.0, False, True, [1, 3])
    assert first[3] == ([2, 0], 0, 1.0, False, False, [2, 1])
    assert second[3] == ([1, 3], 1, 1.0, True, True, None)
    assert third[3] == ([4, 0], 0, 1.0, False, True, [4, 1])


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.DISABLED])
def test_every_autoreset_mode_gives_the_same_steps(mode):
    expected = transitions(AutoresetMode.SAME_STEP, 24)
    found = transitions(mode, 24)
    lengths = {AutoresetMode.NEXT_STEP: [18, 20, 12], AutoresetMode.DISABLED: [24, 24, 24]}[mode]
    assert [len(steps) for steps in found] == lengths
    assert found == [steps[:length] for steps, length in zip(expected, lengths, strict=True)]


def test_rollout_continues_where_the_last_one_ended():
    sampler = Sampler(counters(AutoresetMode.NEXT_STEP, ENDS), 3)
    sampler.reset(seed=1)
    steps = [sampler.collect(3, lambda step, observations: np.zeros(3, np.int64)).valid.tolist() for _ in range(2)]
    assert steps[0] == [[True, True, True], [True, True, False], [True, True, True]]
    assert steps[1] == [[False, True, False], [True, False, True], [True, True, False]]


def test_missing_final_observation_is_an_error():
    env = counters(AutoresetMode.NEXT_STEP, ENDS)
    env.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
    sampler = Sampler(env, 1)
    sampler.reset(seed=1)
    with pytest.raises(ValueError, match="final_obs"):
        sampler.collect(1, lambda step, observations: np.zeros(3, np.int64))


@pytest.mark.parametrize("mode", AutoresetMode)
def test_episode_record_holds_returns_and_lengths_of_finished_ones(mode):
    sampler, record = Sampler(counters(mode, [(3, True)]), 12), EpisodeRecord(1, kept=2)
    assert record.metrics() == {}
    sampler.reset(seed=1)
    record.record(sampler.collect(12, lambda step, observations: np.zeros(1, np.int64)))
    assert list(record.finished) == [(3.0, 3), (3.0, 3)]
    assert record.metrics() == {"rollout/ep_rew_mean": 3.0, "rollout/ep_len_mean": 3.0}
