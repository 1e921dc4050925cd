"""gymnasium's classic control environments, with published hyperparameters."""

from dataclasses import dataclass

import gymnasium

from rl_training.core.config import PPOConfig
from rl_training.core.ppo.ppo import PPO

# https://github.com/vwxyzjn/cleanrl/blob/master/cleanrl/ppo.py. There, the value coefficient 0.5 multiplies half the
# mean square.
CLEANRL = PPOConfig(
    learning_rate=2.5e-4,
    anneal_learning_rate=True,
    gamma=0.99,
    gae_lambda=0.95,
    clip_range=0.2,
    epochs=4,
    minibatch_size=128,
    entropy_coefficient=0.01,
    value_coefficient=0.25,
    value_clip_range=0.2,
    max_grad_norm=0.5,
    hidden_sizes=[64, 64],
    num_envs=4,
    rollout_length=128,
    normalize_observations=False,
    normalize_rewards=False,
    device="cpu",
)
# https://github.com/DLR-RM/rl-baselines3-zoo/blob/master/hyperparams/ppo.yml, completed by
# stable-baselines3's defaults. Two settings differ, chosen on seeds from 100 on: the learning rate is three times as
# large and annealed, and there are 10 epochs instead of 4.
RL_ZOO_MOUNTAIN_CAR = PPOConfig(
    learning_rate=1e-3,
    anneal_learning_rate=True,
    gamma=0.99,
    gae_lambda=0.98,
    clip_range=0.2,
    epochs=10,
    minibatch_size=64,
    entropy_coefficient=0.0,
    value_coefficient=0.5,
    max_grad_norm=0.5,
    hidden_sizes=[64, 64],
    num_envs=16,
    rollout_length=16,
    normalize_observations=True,
    normalize_rewards=True,
    device="cpu",
)


@dataclass(frozen=True)
class ControlTask:
    """An environment of gymnasium's, the hyperparameters, and the number of training steps."""

    name: str
    ppo: PPOConfig
    steps: int

    def measure(self, seed: int) -> dict[str, float]:
        """Train with this seed, and return the mean return of the last 100 training episodes.

        Their actions are drawn from the policy; they are not its most probable ones.
        """
        vectorised = gymnasium.spec(self.name).vector_entry_point is not None
        mode = "vector_entry_point" if vectorised else "sync"
        env = gymnasium.make_vec(self.name, self.ppo.num_envs, vectorization_mode=mode)
        ppo = PPO(env, self.ppo, seed)
        ppo.learn(self.steps)
        env.close()
        return {"figure": ppo.episodes.metrics()["rollout/ep_rew_mean"]}
