"""The state of a training run between two iterations: its members, and the sums over their episodes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from pydantic import ValidationError

from rl_training.core.atomic import previous
from rl_training.core.config import TrainingConfig
from rl_training.core.evaluation.evaluation import Evaluation, evaluate
from rl_training.core.evaluation.references import best_targets
from rl_training.core.market.bars import MarketData, split_market
from rl_training.core.market.sources import market_summary
from rl_training.core.ppo.ensemble import AnyPolicy, combined, load_member
from rl_training.core.ppo.policy import Policy
from rl_training.core.ppo.ppo import PPO, Iteration
from rl_training.core.run.checkpoint import SavedPolicy, load_checkpoint, save_checkpoint, tensor_digest
from rl_training.core.run.curves import CURVES, RunCurves, metrics_of
from rl_training.core.run.held_out import HeldOutCurve
from rl_training.core.run.progress import Progress, capture, finished_members, restore
from rl_training.core.run.requirements import check_enough, check_fits
from rl_training.core.run.result import TrainingResult
from rl_training.core.run.tally import Tally
from rl_training.core.sealed import CheckpointError
from rl_training.core.trading.environment import TradingVectorEnv
from rl_training.core.trading.features import longest_window

log = structlog.get_logger(__name__)


def member_seed(seed: int, member: int) -> int:
    """Return the seed of a member, numbered from 0. Member 0 has the run's own seed, as in a run of one member.

    The other seeds are numpy's `SeedSequence([seed, member]).generate_state(1)`, which are practically independent.
    """
    return seed if member == 0 else int(np.random.SeedSequence([seed, member]).generate_state(1)[0])


class RunState:
    """The members of a run, which are trained one after the other, and the sums over their episodes.

    Raises MarketDataError if there are too few bars, and PolicyMismatchError if the initial policy does not fit.
    """

    def __init__(
        self, config: TrainingConfig, market: MarketData, initial_policy: SavedPolicy | None, threads: int
    ) -> None:
        self.config, self.market, self.threads = config, market, threads
        training, self.later = split_market(market, config.market.train_fraction)
        check_enough(config, training, self.later)
        if initial_policy is not None:
            check_fits(initial_policy, config, market)
        self.initial_members = initial_policy.policy.members if initial_policy is not None else ()
        self.env = TradingVectorEnv(training, config.environment, config.ppo.num_envs, config.seed)
        self.finished: list[Policy] = []
        self.ppo = self._begin_member()
        self.trained_until = training.timestamp[-1]
        if initial_policy is not None and initial_policy.trained_until is not None:
            self.trained_until = max(self.trained_until, initial_policy.trained_until)
        self.tally = Tally(config.environment.episode_length, config.episodes, config.seeds)
        self.curves = RunCurves()
        self.held_out = HeldOutCurve(config, self.later, self.env.statistics, self.ppo.policy)
        # A run resumes only from a checkpoint with the same identity.
        self.identity = {
            "config": config.model_dump(mode="json"),
            "market": market.digest,
            "initial_policy": initial_policy.digest if initial_policy else None,
        }

    def _begin_member(self) -> PPO:
        """Return the PPO of the member after the finished ones.

        It starts from a member of the initial policy. If the run has more members than the initial policy, they start
        from the first members again. All members train in one environment, because PPO seeds it when it begins.
        """
        number = len(self.finished)
        ppo = PPO(self.env, self.config.ppo, member_seed(self.config.seed, number), self.threads)
        if self.initial_members:
            ppo.start_from(self.initial_members[number % len(self.initial_members)])
        return ppo

    def next_member(self) -> bool:
        """Begin the next member. Return False if the present member is not trained yet, or is the last."""
        if self.ppo.timesteps < self.config.member_timesteps or self.member == self.config.seeds:
            return False
        self.finished.append(load_member(self.ppo.policy.shape, self.ppo.policy.tensors()))
        self.ppo = self._begin_member()
        return True

    @property
    def member(self) -> int:
        """The number of the member in training, from 1."""
        return len(self.finished) + 1

    @property
    def environment_steps(self) -> int:
        """The environment steps of all members so far."""
        return len(self.finished) * self.config.member_timesteps + self.ppo.timesteps

    def measure(self, iteration: Iteration) -> Iteration:
        """Return an iteration of the member in training, with the held-out reward in its metrics if it is measured."""
        rewards = self.held_out.add(iteration, self.ppo.policy)
        if rewards is None:
            return iteration
        self.curves.add_held_out(iteration.iteration, rewards.named())
        metrics = {f"eval/{name}": value for name, value in rewards.named().items()}
        return replace(iteration, metrics=iteration.metrics | metrics)

    def of_run(self, iteration: Iteration) -> Iteration:
        """Return an iteration of the member in training, with its number and its steps counted over all members."""
        before = len(self.finished)
        return replace(
            iteration,
            iteration=before * self.config.member_iterations + iteration.iteration,
            timesteps=before * self.config.member_timesteps + iteration.timesteps,
        )

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
            if not self._is_of_this_run(state.pop("identity")):
                log.warning("Checkpoint is of another run", checkpoint=str(candidate))
                continue
            self.finished = finished_members(self.ppo.policy.shape, tensors, state)
            restore(self.ppo, self.env, self.tally, tensors, state)
            self.curves.load_tensors(tensors, CURVES)
            # A checkpoint before format 4 has no measurements.
            if "held_out" in state:
                self.held_out.load_state_dict(state["held_out"])
            log.info("Resumed from checkpoint", environment_steps=self.environment_steps)
            return

    def _is_of_this_run(self, identity: dict[str, Any]) -> bool:
        """Return whether a checkpoint with this identity belongs to the run.

        A checkpoint of an older release does not name newer settings: they have their defaults, as in the run's row.
        """
        try:
            config = TrainingConfig.model_validate(identity["config"])
        except ValidationError:
            return False
        return identity | {"config": config.model_dump(mode="json")} == self.identity

    def save(self, path: Path) -> None:
        """Write a checkpoint."""
        tensors, state = capture(self.ppo, self.env, self.tally, self.finished)
        tensors |= self.curves.tensors(CURVES)
        state |= {"identity": self.identity, "held_out": self.held_out.state_dict()}
        save_checkpoint(path, tensors, state)

    def count(self, iteration: Iteration, on_progress: Callable[[Progress], None] | None) -> bool:
        """Add an iteration of the member in training, and report the episodes that ended in it.

        Return whether any ended.
        """
        total, before = self.tally.total, self.tally.finished
        ended = self.tally.add(iteration)
        self.curves.add_iteration(iteration)
        self.curves.add_episodes(ended)
        if on_progress is None:
            return bool(ended)
        policy_loss, value_loss = self.tally.mean_losses
        config, metrics = self.config, metrics_of(iteration)
        for finished, (episode, reward) in enumerate(ended, start=before + 1):
            total += reward
            progress = Progress(
                episode=episode,
                episodes=config.episodes,
                member=self.member,
                members=config.seeds,
                episodes_done=finished // config.seeds,
                episode_reward=reward,
                avg_reward=total / finished,
                environment_steps=finished * config.environment.episode_length * config.ppo.num_envs,
                policy_loss=policy_loss,
                value_loss=value_loss,
                iteration=iteration.iteration,
                metrics=metrics,
                held_out=self.held_out.newest,
            )
            on_progress(progress)
        return bool(ended)

    def result(self, while_evaluating: Callable[[], None]) -> TrainingResult:
        """Return the result of the run, evaluated if all members are trained and bars are held out."""
        stopped = self.environment_steps < self.config.total_timesteps
        policy, statistics = combined([*self.finished, self.ppo.policy]), self.env.statistics
        return TrainingResult(
            stopped=stopped,
            policy=policy,
            environment=self.config.environment,
            statistics=statistics,
            market_summary=market_summary(self.config.market, self.market),
            trained_until=self.trained_until,
            environment_steps=self.environment_steps,
            episodes_done=self.tally.episodes_done,
            episode_rewards=self.tally.episode_rewards,
            avg_policy_loss=self.tally.mean_losses[0],
            avg_value_loss=self.tally.mean_losses[1],
            curves=self.curves,
            weights_digest=tensor_digest(policy.tensors()),
            evaluation_or_none=None
            if stopped or self.later is None
            else self._evaluation(policy, self.later, while_evaluating),
        )

    def _evaluation(self, policy: AnyPolicy, later: MarketData, while_evaluating: Callable[[], None]) -> Evaluation:
        environment = self.config.environment
        first_bar = len(self.market) - len(later) + longest_window(environment.features)
        best = best_targets(self.config.market, self.market, environment, first_bar)
        return evaluate(
            policy,
            later,
            environment,
            statistics=self.env.statistics,
            best=None if best is None else best[-len(later) :],
            on_progress=while_evaluating,
        )
