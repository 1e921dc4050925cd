"""Compile the functions that training and evaluation use, once, before parallel tests would each compile them."""

from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.run.training import train


def main() -> None:
    ppo = PPOConfig(num_envs=4, rollout_length=16, minibatch_size=64, hidden_sizes=[8], epochs=1, device="cpu")
    config = TrainingConfig(
        market=MarketConfig(source="planted", bars=1000), environment=EnvironmentConfig(episode_length=64), ppo=ppo
    )
    train(config, load_market(config.market))


if __name__ == "__main__":
    main()
