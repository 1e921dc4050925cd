"""PPO with a clock for each phase of an iteration."""

import math
import time
from collections.abc import Callable
from typing import Any

import torch

from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.ppo.ppo import PPO
from rl_training.core.trading.environment import TradingVectorEnv

ENVIRONMENT = EnvironmentConfig()
PHASES = ("collect", "estimate", "update")


class TimedPPO(PPO):
    """Sums the seconds that each phase of an iteration takes, in `seconds`."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.seconds = dict.fromkeys(PHASES, 0.0)
        for phase in PHASES:
            setattr(self, phase, self._timed(phase, getattr(self, phase)))

    def _timed(self, phase: str, run_phase: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any) -> Any:
            started = self.now()
            result = run_phase(*given)
            self.seconds[phase] += self.now() - started
            return result

        return timed

    def now(self) -> float:
        """Return the time in seconds once the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def trainer(market: MarketData, config: PPOConfig, threads: int) -> TimedPPO:
    """Return a trainer on the market that has compiled its code and made two iterations."""
    ppo = TimedPPO(TradingVectorEnv(market, ENVIRONMENT, config.num_envs, 0), config, 0, threads)
    ppo.learn(2 * config.num_envs * config.rollout_length)
    return ppo


def measured_learning(ppo: TimedPPO, config: PPOConfig, at_least: int = 262_144) -> dict[str, float]:
    """Train for `at_least` steps, rounded up to whole rollouts.

    Return `steps_per_second`, and the seconds per step of each phase.
    """
    rollout = config.num_envs * config.rollout_length
    steps = math.ceil(at_least / rollout) * rollout
    ppo.seconds = dict.fromkeys(PHASES, 0.0)
    started = ppo.now()
    ppo.learn(ppo.timesteps + steps)
    seconds = ppo.now() - started
    return {"steps_per_second": steps / seconds} | {phase: ppo.seconds[phase] / steps for phase in PHASES}
