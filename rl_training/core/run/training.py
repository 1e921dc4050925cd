"""A training run from bars to an evaluated policy. It can be stopped and resumed with the same result to the bit."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.checkpoint import SavedPolicy
from rl_training.core.run.curves import RunCurves
from rl_training.core.run.progress import Progress
from rl_training.core.run.result import TrainingResult
from rl_training.core.run.run_state import RunState
from rl_training.core.run.tally import Tally
from rl_training.core.run.tensorboard import MetricsLog, open_log

CHECKPOINT_SECONDS = 10.0


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
    on_begin: Callable[[RunCurves, Tally], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    while_evaluating: Callable[[], None] = lambda: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    threads: int = 1,
) -> TrainingResult:
    """Train on the first `train_fraction` of the bars, and evaluate on the rest, if any.

    `config.seeds` members are trained one after the other, each with a seed of its own, and decide together as an
    Ensemble. Counts of iterations and environment steps are over all members.

    initial_policy       each member starts from the weights and running statistics of one of its members; see RunState.
                         The features are always standardised by the new training slice
    checkpoint           a file, written at each episode's end, every `checkpoint_seconds` and on a stop. If it has the
                         same config, bars and initial policy, the run resumes from it, with the same result to the
                         bit. If it cannot be used, its previous version is (see save_checkpoint). The caller deletes it
    earlier_checkpoints  files to resume from if `checkpoint` cannot be used, in this order; never written
    log_dir              a folder for TensorBoard files; nothing is written if `tensorboard` is not installed
    on_progress          called after each episode; on_iteration and should_stop are called after each iteration
    on_begin             called once, before the first iteration, with the run's curves and sums, to which training adds
    while_evaluating     called repeatedly during the evaluation, which makes no iterations
    threads              processor threads. The result does not depend on their number, except for networks of more than
                         a million parameters

    Raises MarketDataError if there are too few bars, and PolicyMismatchError if the initial policy does not fit, both
    before training. Sets torch to one thread, because the parts left to torch are too small for more.
    """
    torch.set_num_threads(1)
    run = RunState(config, market, initial_policy, threads)
    if checkpoint is not None:
        run.resume([checkpoint, *earlier_checkpoints])
    if on_begin is not None:
        on_begin(run.curves, run.tally)
    metrics_log = open_log(log_dir, run.environment_steps)
    after = _AfterIteration(run, metrics_log, checkpoint, checkpoint_seconds, on_progress, on_iteration, should_stop)
    try:
        run.ppo.learn(config.member_timesteps, after)
        while not after.stopping and run.next_member():
            run.ppo.learn(config.member_timesteps, after)
    finally:
        metrics_log.close()
    return run.result(while_evaluating)


def warm_up() -> None:
    """Load the libraries and the compiled code of a run, and compile uncached functions, so that no run waits."""
    market = MarketConfig(source="planted", bars=1000)
    environment = EnvironmentConfig(episode_length=8)
    ppo = PPOConfig(num_envs=2, rollout_length=8, minibatch_size=16, hidden_sizes=[8])
    train(TrainingConfig(market=market, environment=environment, ppo=ppo), planted_market(market))


@dataclass
class _AfterIteration:
    """Logs, reports and saves each iteration of a run; returns whether the run continues."""

    run: RunState
    metrics_log: MetricsLog
    checkpoint: Path | None
    checkpoint_seconds: float
    on_progress: Callable[[Progress], None] | None
    on_iteration: Callable[[Iteration], None] | None
    should_stop: Callable[[], bool] | None
    saved_at: float = field(default_factory=time.monotonic)
    stopping: bool = False

    def __call__(self, iteration: Iteration) -> bool:
        iteration = self.run.measure(iteration)
        of_run = self.run.of_run(iteration)
        self.metrics_log.write(of_run)
        ended = self.run.count(iteration, self.on_progress)
        if self.on_iteration is not None:
            self.on_iteration(of_run)
        self.stopping = self.should_stop is not None and self.should_stop()
        due = self.stopping or ended or time.monotonic() - self.saved_at >= self.checkpoint_seconds
        if self.checkpoint is not None and due:
            self.metrics_log.flush()
            self.run.save(self.checkpoint)
            self.saved_at = time.monotonic()
        return not self.stopping
