"""Settings of a training run: rules and costs of trading, and hyperparameters of PPO.

The description of a field states its unit and range; forms and error messages show it.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from rl_training.core.base_config import BrokenRule, Config
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_values import OWN, is_column_name, is_own, own_columns

FeatureName = Literal[
    "log_return_1",
    "log_return_5",
    "log_return_20",
    "volatility_20",
    "rsi_14",
    "macd",
    "range",
    "volume_zscore_20",
    "time_of_day",
    "time_of_week",
]
# Columns of a market file that a policy observes at most, so that rollouts stay in memory.
MOST_OWN_COLUMNS = 30


def _known_feature(name: str) -> str:
    if name in get_args(FeatureName) or (is_own(name) and is_column_name(name.removeprefix(OWN))):
        return name
    raise PydanticCustomError(
        "feature",
        "must be one of {names}, or {own}NAME, where NAME is a further column of the market's file",
        {"names": ", ".join(get_args(FeatureName)), "own": OWN},
    )


# A name of FeatureName, or a further column of the market's file.
Feature = Annotated[
    str,
    AfterValidator(_known_feature),
    WithJsonSchema(
        {"anyOf": [{"enum": list(get_args(FeatureName)), "type": "string"}, {"pattern": f"^{OWN}", "type": "string"}]}
    ),
]

# Steps of one rollout, which need about half a gigabyte of memory with the default features.
MAX_ROLLOUT = 4_000_000
# Weights between the hidden layers of actor and critic together. With their gradients and Adam's moments they need
# about half a gigabyte of memory.
MAX_WEIGHTS = 34_000_000


class EnvironmentConfig(Config):
    """Rules and costs of trading."""

    episode_length: int = Field(
        default=512, ge=2, le=1_000_000, description="Bars in a training episode. 2 to 1,000,000."
    )
    positions: list[Annotated[float, Field(ge=-10, le=10)]] = Field(
        default=[-1.0, 0.0, 1.0],
        min_length=2,
        max_length=64,
        description="Target position of each action, as a fraction of equity: -1 short, 0 flat, 1 long. -10 to 10.",
    )
    fee: float = Field(
        default=0.0005, ge=0, le=0.1, description="Fraction of the traded notional. 0 to 0.1; 0.0005 is 5 bp."
    )
    slippage: float = Field(
        default=0.0001, ge=0, le=0.1, description="Fraction of the open, against the trade. 0 to 0.1."
    )
    borrow_rate: float = Field(default=0.0, ge=0, le=0.1, description="Per bar, on short notional. 0 to 0.1.")
    funding_rate: float = Field(
        default=0.0,
        ge=-0.1,
        le=0.1,
        description="Per bar, on notional: longs pay, shorts receive when positive. -0.1 to 0.1.",
    )
    ruin_fraction: float = Field(
        default=0.01,
        gt=0,
        lt=1,
        description="The episode ends when equity falls to this fraction of the initial. Between 0 and 1.",
    )
    features: list[Feature] = Field(
        default=[
            "log_return_1",
            "log_return_5",
            "log_return_20",
            "volatility_20",
            "rsi_14",
            "macd",
            "range",
            "volume_zscore_20",
        ],
        min_length=1,
        max_length=len(get_args(FeatureName)) + MOST_OWN_COLUMNS,
        description=(
            "Market features that the policy observes: names of the table in docs/data.md, and column:NAME for a "
            "further column of the market's file, as in column:funding."
        ),
    )

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The names of the further columns of the market's file that are features, in their order."""
        return own_columns(self.features)

    def broken_rules(self) -> Iterator[BrokenRule]:
        for field in ("positions", "features"):
            values = getattr(self, field)
            if len(set(values)) != len(values):
                yield BrokenRule((field,), f"each value may be listed once, got {values}")
        if len(self.own_columns) > MOST_OWN_COLUMNS:
            yield BrokenRule(("features",), f"{len(self.own_columns)} further columns; at most {MOST_OWN_COLUMNS}")
        largest = max(abs(position) for position in self.positions)
        cost = self.slippage + self.fee * (1 + self.slippage)
        if largest * cost >= 0.5:
            yield BrokenRule(
                ("positions", "slippage", "fee"),
                f"trading to {largest} costs {largest * cost:.2f} of equity with fee {self.fee} and "
                f"slippage {self.slippage}; largest position x (slippage + fee x (1 + slippage)) must be below 0.5",
            )


class PPOConfig(Config):
    """Hyperparameters of PPO, named as stable-baselines3 and CleanRL name them."""

    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Learning rate of Adam. Above 0, at most 1.")
    anneal_learning_rate: bool = Field(default=True, description="Lower the learning rate linearly to 0 over the run.")
    gamma: float = Field(default=0.99, ge=0, le=1, description="Discount per step. 0 to 1.")
    gae_lambda: float = Field(
        default=0.95, ge=0, le=1, description="Lambda of generalised advantage estimation. 0 to 1."
    )
    clip_range: float = Field(default=0.2, gt=0, le=1, description="Clip of the probability ratio. Above 0, at most 1.")
    epochs: int = Field(default=4, ge=1, le=100, description="Passes over each rollout. 1 to 100.")
    minibatch_size: int = Field(
        default=2048, ge=1, le=10_000_000, description="Steps per gradient step. 1 to num_envs x rollout_length."
    )
    entropy_coefficient: float = Field(default=0.01, ge=0, le=1, description="Weight of the entropy bonus. 0 to 1.")
    value_coefficient: float = Field(default=0.5, ge=0, le=10, description="Weight of the value loss. 0 to 10.")
    value_clip_range: float = Field(
        default=0.0,
        ge=0,
        le=1000,
        description="Keeps each value within this distance of its value before the update, as CleanRL does. 0: off.",
    )
    max_grad_norm: float = Field(default=0.5, gt=0, le=1000, description="Gradient norm is clipped to this. Above 0.")
    target_kl: float = Field(
        default=0.0,
        ge=0,
        le=10,
        description="Ends a rollout's update once approx_kl passes 1.5 times this. 0 turns it off.",
    )
    hidden_sizes: list[Annotated[int, Field(ge=1, le=4096)]] = Field(
        default=[64, 64],
        min_length=1,
        max_length=8,
        description="Units per hidden layer, of actor and critic each. 1 to 4096.",
    )
    num_envs: int = Field(default=256, ge=1, le=65_536, description="Parallel environments. 1 to 65,536.")
    rollout_length: int = Field(default=32, ge=1, le=1_000_000, description="Steps per environment between updates.")
    normalize_observations: bool = Field(
        default=False,
        description="Standardise observations by running statistics. Market features are standardised in any case.",
    )
    normalize_rewards: bool = Field(default=True, description="Scale rewards by the running deviation of returns.")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="auto: CUDA if there is a device and the networks are large enough to gain from it, else CPU.",
    )

    def broken_rules(self) -> Iterator[BrokenRule]:
        weights = 2 * sum(below * above for below, above in pairwise(self.hidden_sizes))
        if weights > MAX_WEIGHTS:
            yield BrokenRule(
                ("hidden_sizes",),
                f"{self.hidden_sizes} makes {weights:,} weights in actor and critic; at most "
                f"{MAX_WEIGHTS:,} are held in memory",
            )
        rollout = self.num_envs * self.rollout_length
        if rollout > MAX_ROLLOUT:
            yield BrokenRule(
                ("rollout_length", "num_envs"),
                f"num_envs x rollout_length = {self.num_envs} x {self.rollout_length} = {rollout} "
                f"steps are held in memory; at most {MAX_ROLLOUT:,}",
            )
        if self.minibatch_size > rollout:
            yield BrokenRule(
                ("minibatch_size", "num_envs", "rollout_length"),
                f"{self.minibatch_size} is larger than the rollout, "
                f"num_envs x rollout_length = {self.num_envs} x {self.rollout_length} = {rollout}",
            )


# The sections of a policy's settings and of a run's config. A policy stores each in a column of this name.
SECTIONS: dict[str, type[Config]] = {"market": MarketConfig, "environment": EnvironmentConfig, "ppo": PPOConfig}


class TrainingConfig(Config):
    """Everything that decides a training run besides its initial weights. Each run stores its own."""

    market: MarketConfig = MarketConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    ppo: PPOConfig = PPOConfig()
    episodes: int = Field(default=2, ge=1, le=1_000_000, description="Market episodes in every parallel environment.")
    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="Seeds weights, episodes and minibatches.")
    # 1, so that a stored config of an older release means what it meant.
    seeds: int = Field(
        default=1, ge=1, le=32, description="Members of the version, each trained with a seed of its own. 1 to 32."
    )

    @property
    def member_timesteps(self) -> int:
        """The environment steps of each member: episodes x num_envs x episode_length."""
        return self.episodes * self.ppo.num_envs * self.environment.episode_length

    @property
    def member_iterations(self) -> int:
        """The iterations of each member. The last one may be shorter than `rollout_length`."""
        return -(-self.episodes * self.environment.episode_length // self.ppo.rollout_length)

    @property
    def total_timesteps(self) -> int:
        """The environment steps of the run, of all members."""
        return self.seeds * self.member_timesteps
