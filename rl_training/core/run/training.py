"""A training run from bars to an evaluated policy. It can be stopped and resumed with the same result to the bit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch

from rl_training.core.atomic import previous
from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.evaluation.evaluation import Evaluation, evaluate
from rl_training.core.market.bars import MarketData, split_market
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
from rl_training.core.run.curves import RunCurves, metrics_of
from rl_training.core.run.progress import Progress, Tally, capture, restore
from rl_training.core.run.requirements import check_enough, check_fits
from rl_training.core.run.tensorboard import MetricsLog, open_log
from rl_training.core.trading.environment import TradingVectorEnv
from rl_training.core.trading.features import FeatureStatistics

CHECKPOINT_SECONDS = 10.0
# The names of the curves among the tensors of a checkpoint begin with this.
CURVES = "curves"

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """The result of a run. A stopped run has the rewards and losses so far, and no evaluation."""

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
    curves: RunCurves
    weights_digest: str
    evaluation_or_none: Evaluation | None

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation on the later bars. Raises RuntimeError if the run was stopped."""
        if self.evaluation_or_none is None:
            raise RuntimeError("a run that was stopped has no evaluation")
        return self.evaluation_or_none

    @property
    def avg_reward(self) -> float | None:
        """The mean of the episode rewards; None before the first episode has ended."""
        return float(np.mean(self.episode_rewards)) if self.episode_rewards else None

    @property
    def final_reward(self) -> float | None:
        """The reward of the last episode; None before the first episode has ended."""
        return self.episode_rewards[-1] if self.episode_rewards else None

    @property
    def curve(self) -> dict[str, Any]:
        """The course of the run as JSON values; see RunCurves.as_dict()."""
        return self.curves.as_dict()

    def save(self, path: Path, **metadata: Any) -> str:
        """Write the policy with its market, its evaluation and `metadata` into a folder; see save_policy()."""
        notes = {"market": self.market_summary, TRAINED_UNTIL: str(self.trained_until)}
        notes |= {"evaluation": self.evaluation.as_dict(), **metadata}
        return save_policy(path, self.policy, environment=self.environment, statistics=self.statistics, metadata=notes)


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
    on_curves: Callable[[RunCurves], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    while_evaluating: Callable[[], None] = lambda: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    threads: int = 1,
) -> TrainingResult:
    """Train on the first `train_fraction` of the bars and evaluate on the rest.

    initial_policy       its weights and running statistics are the start. The features are standardised by the new
                         training slice in any case
    checkpoint           a file, written at each episode's end, every `checkpoint_seconds` and on a stop. If it has the
                         same config, bars and initial policy, the run resumes from it, with the same result to the
                         bit. If it cannot be used, its previous version is (see save_checkpoint). The caller deletes it
    earlier_checkpoints  files to resume from if `checkpoint` cannot be used, in this order; never written
    log_dir              a folder for TensorBoard files; nothing is written if `tensorboard` is not installed
    on_progress          called after each episode; on_iteration and should_stop are called after each iteration
    on_curves            called once, before the first iteration, with the run's curves, to which training then adds
    while_evaluating     called again and again during the evaluation, which makes no iterations
    threads              processor threads. The result does not depend on them, except for networks of more than a
                         million parameters

    Raises MarketDataError if there are too few bars, and PolicyMismatchError if the initial policy does not fit, both
    before training. Sets torch to one thread, because the parts left to torch are too small for more.
    """
    torch.set_num_threads(1)
    run = _Run(config, market, initial_policy, threads)
    if checkpoint is not None:
        run.resume([checkpoint, *earlier_checkpoints])
    if on_curves is not None:
        on_curves(run.curves)
    metrics_log = open_log(log_dir, run.ppo.timesteps)
    after = _AfterIteration(run, metrics_log, checkpoint, checkpoint_seconds, on_progress, on_iteration, should_stop)
    try:
        run.ppo.learn(config.total_timesteps, after)
    finally:
        metrics_log.close()
    return run.result(while_evaluating)


def warm_up() -> None:
    """Load the libraries and the compiled code of a run, and compile what is not cached, so that no run waits."""
    market = MarketConfig(source="planted", bars=1000)
    environment = EnvironmentConfig(episode_length=8)
    ppo = PPOConfig(num_envs=2, rollout_length=8, minibatch_size=16, hidden_sizes=[8])
    train(TrainingConfig(market=market, environment=environment, ppo=ppo), planted_market(market))


class _Run:
    """The state of a run: its environment, its PPO and the sums over its episodes."""

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
        self.curves = RunCurves()
        # A checkpoint is resumed from only if it has the same identity.
        self.identity = {
            "config": config.model_dump(mode="json"),
            "market": market.digest,
            "initial_policy": initial_policy.digest if initial_policy else None,
        }

    def resume(self, paths: Sequence[Path]) -> None:
        """Restore the first usable checkpoint among the paths and their previous versions, if there is one."""
        for candidate in (candidate for path in paths for candidate in (path, previous(path))):
            if not candidate.exists():
                continue
            try:
                tensors, state = load_checkpoint(candidate)
            except CheckpointError as error:
                log.warning("Checkpoint cannot be used", error=str(error))
                continue
            identity = state.pop("identity")
            # A checkpoint of an older release does not name the number of members.
            identity["config"].setdefault("seeds", 1)
            if identity != self.identity:
                log.warning("Checkpoint is of another run", checkpoint=str(candidate))
                continue
            self.tally = restore(self.ppo, self.env, tensors, state)
            self.curves.load_tensors(tensors, CURVES)
            log.info("Resumed from checkpoint", environment_steps=self.ppo.timesteps)
            return

    def save(self, path: Path) -> None:
        tensors, state = capture(self.ppo, self.env, self.tally)
        tensors |= self.curves.tensors(CURVES)
        save_checkpoint(path, tensors, {"identity": self.identity, **state})

    def count(self, iteration: Iteration, on_progress: Callable[[Progress], None] | None) -> bool:
        """Add an iteration to the tally and the curves, and report the episodes that ended in it.

        Return whether any ended.
        """
        before = len(self.tally.episode_rewards)
        self.tally.add(iteration)
        ended = self.tally.episode_rewards[before:]
        self.curves.add_iteration(iteration)
        self.curves.add_episodes(before + 1, ended)
        if on_progress is None or not ended:
            return bool(ended)
        policy_loss, value_loss = self.tally.mean_losses
        total = sum(self.tally.episode_rewards[:before])
        for episode, reward in enumerate(ended, start=before + 1):
            total += reward
            steps = episode * self.config.environment.episode_length * self.config.ppo.num_envs
            counts = (episode, self.config.episodes, reward, total / episode, steps)
            on_progress(Progress(*counts, policy_loss, value_loss, iteration.iteration, metrics_of(iteration)))
        return True

    def result(self, while_evaluating: Callable[[], None]) -> TrainingResult:
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
            curves=self.curves,
            weights_digest=tensor_digest(policy.tensors()),
            evaluation_or_none=None
            if stopped
            else evaluate(
                policy, self.later, self.config.environment, statistics=statistics, on_progress=while_evaluating
            ),
        )


@dataclass
class _AfterIteration:
    """Logs, reports and saves each iteration of a run; returns whether the run continues."""

    run: _Run
    metrics_log: MetricsLog
    checkpoint: Path | None
    checkpoint_seconds: float
    on_progress: Callable[[Progress], None] | None
    on_iteration: Callable[[Iteration], None] | None
    should_stop: Callable[[], bool] | None
    saved_at: float = field(default_factory=time.monotonic)

    def __call__(self, iteration: Iteration) -> bool:
        self.metrics_log.write(iteration)
        ended = self.run.count(iteration, self.on_progress)
        if self.on_iteration is not None:
            self.on_iteration(iteration)
        stop = self.should_stop is not None and self.should_stop()
        due = stop or ended or time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if self.checkpoint is not None and due:
            self.metrics_log.flush()
            self.run.save(self.checkpoint)
            self.saved_at = time.monotonic()
        return not stop
