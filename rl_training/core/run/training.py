"""What a training run executes: the loop from bars to an evaluated policy, which can be stopped and resumed."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch

from rl_training.core.atomic import previous
from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.evaluation.evaluation import Evaluation, evaluate
from rl_training.core.market.bars import MarketData, MarketDataError, split_market
from rl_training.core.market.planted import planted_market
from rl_training.core.market.sources import market_summary
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.policy import Policy
from rl_training.core.ppo.ppo import PPO, Iteration
from rl_training.core.run.checkpoint import (
    TRAINED_UNTIL,
    CheckpointError,
    SavedPolicy,
    load_checkpoint,
    save_checkpoint,
    save_policy,
    tensor_digest,
)
from rl_training.core.run.progress import Progress, Tally, capture, restore
from rl_training.core.run.tensorboard import open_log
from rl_training.core.trading.environment import TradingVectorEnv
from rl_training.core.trading.features import FeatureStatistics, longest_window
from rl_training.core.trading.observation import observation_names

CHECKPOINT_SECONDS = 10.0

log = structlog.get_logger(__name__)


class PolicyMismatchError(ValueError):
    """A policy whose weights are of no use under this config; names each setting that differs."""


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended. The rewards and losses of one that was stopped are those until then; it has no evaluation."""

    stopped: bool
    policy: Policy
    environment: EnvironmentConfig
    statistics: FeatureStatistics
    market_summary: dict[str, Any]
    trained_until: np.datetime64
    environment_steps: int
    episode_rewards: list[float]
    avg_policy_loss: float
    avg_value_loss: float
    weights_digest: str
    evaluation_or_none: Evaluation | None

    @property
    def evaluation(self) -> Evaluation:
        if self.evaluation_or_none is None:
            raise RuntimeError("a run that was stopped has no evaluation")
        return self.evaluation_or_none

    @property
    def avg_reward(self) -> float | None:
        return float(np.mean(self.episode_rewards)) if self.episode_rewards else None

    @property
    def final_reward(self) -> float | None:
        return self.episode_rewards[-1] if self.episode_rewards else None

    def save(self, path: Path, **metadata: Any) -> str:
        """Write the policy's folder with its market, evaluation and `metadata` noted; see save_policy()."""
        notes = {"market": self.market_summary, TRAINED_UNTIL: str(self.trained_until)}
        notes |= {"evaluation": self.evaluation.as_dict(), **metadata}
        return save_policy(path, self.policy, environment=self.environment, statistics=self.statistics, metadata=notes)


def check_fits(policy: SavedPolicy, config: TrainingConfig, market: MarketData) -> None:
    """Raise PolicyMismatchError unless training under `config` can go on from `policy`.

    It cannot where the policy, or one that it came from, was trained on bars of the time that it is to be evaluated on.
    """
    shape, environment = policy.policy.shape, policy.environment
    pairs = {
        "features": (environment.features, config.environment.features),
        "positions": (environment.positions, config.environment.positions),
        "observation size": (shape.observation_size, len(observation_names(config.environment))),
        "hidden_sizes": (list(shape.hidden_sizes), config.ppo.hidden_sizes),
        "normalize_observations": (shape.normalises_observations, config.ppo.normalize_observations),
        "normalize_rewards": (shape.normalises_rewards, config.ppo.normalize_rewards),
    }
    differing = [f"{name}: the policy's {was}, the config's {now}" for name, (was, now) in pairs.items() if was != now]
    first = split_market(market, config.market.train_fraction)[1].timestamp[:1]
    if policy.trained_until is not None and (first <= policy.trained_until).any():
        differing.append(f"bars: the policy was trained until {policy.trained_until}, evaluated is from {first[0]} on")
    if differing:
        raise PolicyMismatchError(f"the policy does not fit the config: {'; '.join(differing)}")


def train(
    config: TrainingConfig,
    market: MarketData,
    *,
    initial_policy: SavedPolicy | None = None,
    checkpoint: Path | None = None,
    earlier_checkpoints: Sequence[Path] = (),
    log_dir: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_iteration: Callable[[Iteration], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    threads: int = 1,
) -> TrainingResult:
    """Train on the market's first `train_fraction` and evaluate on the rest.

    initial_policy      training goes on from its weights and running statistics; PolicyMismatchError where they do not
                        fit. Features are standardised by this training slice in any case
    checkpoint          a file that is written at each episode's end, every `checkpoint_seconds` and when stopped, and
                        resumed from if it is of the same config, bars and initial policy: the end is the same to the
                        bit. One that is damaged or of another run is left aside for the one before it, which is kept;
                        see save_checkpoint(). The caller removes both
    earlier_checkpoints files that are read where none of these can be used, in this order, and never written
    log_dir             a folder for TensorBoard event files of each iteration's metrics; none without `tensorboard`
    on_progress         called after each episode; on_iteration after each iteration
    should_stop         asked after each iteration
    threads             of a processor to compute with; the result is the same to the bit with any number of them, save
                        for networks of more than a million parameters

    Raises MarketDataError, before anything is trained, where there are too few bars.

    Torch is set to one thread of its own in this process, where what is left to it is too small for more.
    """
    torch.set_num_threads(1)
    run = _Run(config, market, initial_policy, threads)
    if checkpoint is not None:
        run.resume([checkpoint, *earlier_checkpoints])
    saved_at = time.monotonic()
    metrics_log = open_log(log_dir, run.ppo.timesteps)

    def after(iteration: Iteration) -> bool:
        nonlocal saved_at
        metrics_log.write(iteration)
        ended = run.count(iteration, on_progress)
        if on_iteration is not None:
            on_iteration(iteration)
        stop = should_stop is not None and should_stop()
        if checkpoint is not None and (stop or ended or time.monotonic() - saved_at >= checkpoint_seconds):
            metrics_log.flush()
            run.save(checkpoint)
            saved_at = time.monotonic()
        return not stop

    try:
        run.ppo.learn(config.total_timesteps, after)
    finally:
        metrics_log.close()
    return run.result()


def check_enough(config: TrainingConfig, training: MarketData, later: MarketData) -> None:
    """Raise MarketDataError, saying how many bars the market must have, where either part of it is too short."""
    window, length = longest_window(config.environment.features), config.environment.episode_length
    share = config.market.train_fraction
    for part, of, needed, purpose, decisions in (
        (training, share, window + length + 1, "to train on", f"an episode's {length} decisions"),
        (later, 1 - share, window + 2, "to evaluate on", "one decision"),
    ):
        if len(part) < needed:
            raise MarketDataError(
                f"{len(part)} of the {len(training) + len(later)} bars are {purpose}, but at least {needed} are "
                f"needed: {window} of the features' longest window, {decisions} and the bar after; with a "
                f"train_fraction of {share:g} that is about {math.ceil(needed / of)} bars in all",
                file=config.market.label,
            )


def warm_up() -> None:
    """Load what a run computes with, compiling it where that has not been done on this machine, so that none waits."""
    market = MarketConfig(source="planted", bars=1000)
    environment = EnvironmentConfig(episode_length=8)
    ppo = PPOConfig(num_envs=2, rollout_length=8, minibatch_size=16, hidden_sizes=[8])
    train(TrainingConfig(market=market, environment=environment, ppo=ppo), planted_market(market))


class _Run:
    """The parts of a run that belong together."""

    def __init__(
        self, config: TrainingConfig, market: MarketData, initial_policy: SavedPolicy | None, threads: int
    ) -> None:
        self.config = config
        self.market = market
        training, self.later = split_market(market, config.market.train_fraction)
        check_enough(config, training, self.later)
        if initial_policy is not None:
            check_fits(initial_policy, config, market)
        self.env = TradingVectorEnv(training, config.environment, config.ppo.num_envs, config.seed)
        self.ppo = PPO(self.env, config.ppo, config.seed, threads)
        if initial_policy is not None:
            self.ppo.start_from(initial_policy.policy)
        self.trained_until = training.timestamp[-1]
        if initial_policy is not None and initial_policy.trained_until is not None:
            self.trained_until = max(self.trained_until, initial_policy.trained_until)
        self.tally = Tally(config.environment.episode_length)
        # What a checkpoint must be of to be resumed from.
        self.identity = {
            "config": config.model_dump(mode="json"),
            "market": market.digest,
            "initial_policy": initial_policy.digest if initial_policy else None,
        }

    def resume(self, paths: Sequence[Path]) -> None:
        for candidate in (candidate for path in paths for candidate in (path, previous(path))):
            if not candidate.exists():
                continue
            try:
                tensors, state = load_checkpoint(candidate)
            except CheckpointError as error:
                log.warning("Checkpoint cannot be used", error=str(error))
                continue
            if state.pop("identity") != self.identity:
                log.warning("Checkpoint is of another run", checkpoint=str(candidate))
                continue
            self.tally = restore(self.ppo, self.env, tensors, state)
            log.info("Resumed from checkpoint", environment_steps=self.ppo.timesteps)
            return

    def save(self, path: Path) -> None:
        tensors, state = capture(self.ppo, self.env, self.tally)
        save_checkpoint(path, tensors, {"identity": self.identity, **state})

    def count(self, iteration: Iteration, on_progress: Callable[[Progress], None] | None) -> bool:
        """Take an iteration into the tally; whether an episode ended in it."""
        before = len(self.tally.episode_rewards)
        self.tally.add(iteration)
        ended = self.tally.episode_rewards[before:]
        if on_progress is None or not ended:
            return bool(ended)
        policy_loss, value_loss = self.tally.mean_losses
        total = sum(self.tally.episode_rewards[:before])
        for episode, reward in enumerate(ended, start=before + 1):
            total += reward
            steps = episode * self.config.environment.episode_length * self.config.ppo.num_envs
            counts = (episode, self.config.episodes, reward, total / episode, steps)
            on_progress(Progress(*counts, policy_loss, value_loss))
        return True

    def result(self) -> TrainingResult:
        stopped = self.ppo.timesteps < self.config.total_timesteps
        policy, statistics = self.ppo.policy, self.env.statistics
        return TrainingResult(
            stopped=stopped,
            policy=policy,
            environment=self.config.environment,
            statistics=statistics,
            market_summary=market_summary(self.config.market, self.market),
            trained_until=self.trained_until,
            environment_steps=self.ppo.timesteps,
            episode_rewards=list(self.tally.episode_rewards),
            avg_policy_loss=self.tally.mean_losses[0],
            avg_value_loss=self.tally.mean_losses[1],
            weights_digest=tensor_digest(policy.tensors()),
            evaluation_or_none=None
            if stopped
            else evaluate(policy, self.later, self.config.environment, statistics=statistics),
        )
