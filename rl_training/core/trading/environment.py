"""Gymnasium environments that trade one market: `TradingEnv`, which has the specification, and `TradingVectorEnv`."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Discrete
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData
from rl_training.core.trading.accounting import Accounts, BarOutcome
from rl_training.core.trading.episodes import BoolArray, Episodes, IntArray
from rl_training.core.trading.features import FeatureStatistics

Observation = npt.NDArray[np.float32]


class TradingEnv(gymnasium.Env[Observation, np.int64]):
    """
    ## Description

    One account trades one market. At the close of bar t the policy observes bars up to t and chooses a target position,
    as a fraction of equity: -1 is short, 0 is flat, 1 is long. If the target has changed, the account trades to it at
    the open of bar t + 1. At the close of bar t + 1 the equity is computed, and the policy decides again.

    ## Action Space

    The action space is `Discrete(len(positions))`. Action i is the target position `positions[i]`.

    An action that equals the present target trades nothing: the account keeps its units, although price moves have
    shifted its exposure away from the target. An episode begins with target 0.

    ## Observation Space

    The observation space is a `Box` of float32 with these entries, in this order:

    | Entry | Meaning | Range |
    |---|---|---|
    | one or two for each of `features` | market feature of bar t, see `features.py`: (value - mean) / scale | -5 to 5 |
    | position | present exposure: units x close / equity | plus or minus twice the largest target |
    | unrealised log return | log(equity / equity just after the last trade, its costs paid) | -5 to 5 |
    | drawdown | 1 - equity / highest equity at a close in this episode | 0 to 1 |

    Values outside their range are clipped to it. Means and scales come from `statistics`; without `statistics` they
    are fitted on `market`.

    ## Costs

    Let E be the equity and x = units x open the notional held, both at the open of bar t + 1 before the trade. For a
    changed target p the account trades the notional

        dx = (p E - x) / (1 + s k p),    s = sign(p E - x),    k = slippage + fee (1 + s slippage)

    A buy pays open x (1 + slippage), a sale receives open x (1 - slippage), and `fee` is paid on the notional at that
    price. Together, fee and slippage cost k |dx|, so that the position after the trade, valued at the open, is exactly
    p times the remaining equity E - k |dx|.

    At each close, funding_rate x notional (if positive, longs pay and shorts receive) and borrow_rate x short notional
    are taken from cash, for the units held since the open of that bar. Equity is cash + units x close. The highs and
    lows of bars have no effect on the account.

    ## Rewards

    The reward is log(equity at the close of t + 1 / equity at the close of t). The rewards of an episode sum to the log
    of final over initial equity, whether the episode contains costs, ruin or neither.

    ## Starting State

    The account holds equity 1 in cash. `np_random` draws the first bar uniformly from all bars that have the longest
    feature window before them and `episode_length` decisions after them. `reset(options={"start": bar})` begins at
    `bar` instead.

    ## Episode End

    - Termination: equity is at or below `ruin_fraction`, at the open after the trade or at the close. The position is
      closed and equity is exactly `ruin_fraction`, however far the price jumped past it.
    - Truncation: `episode_length` decisions have been made, and the last one did not end in ruin.

    ## Information

    `reset` and `step` return these entries in `info`:

    - `bar`: index of the bar that has just closed.
    - `equity`: equity at its close, in multiples of the initial equity.
    - `cost`: fee, slippage, funding and borrow of that bar, in multiples of the initial equity; 0 after `reset`.
    - `turnover`: traded notional / equity, both at the open of that bar; 0 after `reset`.

    ## Arguments

    - `market`: the bars to trade.
    - `config`: the features, positions, costs and episode length.
    - `statistics`: means and scales of the features on the bars that the policy was trained on.

    Raises MarketDataError with the number of bars needed, if no episode fits into `market`; ValueError, if `statistics`
    belong to other features than those of `config`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it like this

    def __init__(
        self, market: MarketData, config: EnvironmentConfig, statistics: FeatureStatistics | None = None
    ) -> None:
        self._episodes = Episodes(market, config, 1, statistics)
        self._under_way = False
        self.statistics = self._episodes.observer.statistics
        self.observation_space = self._episodes.observer.space
        self.action_space = Discrete(len(config.positions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; return observation, [D], and info. Raises ValueError for unfit options."""
        super().reset(seed=seed)
        start = _start_option(options)
        if start is None:
            starts = self._episodes.random_starts(self.np_random, 1)
        else:
            starts = self._episodes.checked_starts(start, 1)
        self._episodes.begin(np.ones(1, np.bool_), starts)
        self._under_way = True
        return self._episodes.observe()[0], self._info(None)

    def step(self, action: np.int64 | int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Trade one bar; return observation, reward, terminated, truncated and info. Raises ResetNeeded."""
        if not self._under_way:
            raise ResetNeeded("no episode is under way: call reset() before step()")
        actions = _checked_actions(np.array([action]), 1, len(self._episodes.config.positions))
        outcome, terminated, truncated = self._episodes.step(actions)
        self._under_way = not (terminated[0] or truncated[0])
        reward = float(outcome.reward[0])
        return self._episodes.observe()[0], reward, bool(terminated[0]), bool(truncated[0]), self._info(outcome)

    @property
    def accounts(self) -> Accounts:
        """The account at the close of the present bar; every property is [1]."""
        return self._episodes.accounts

    def _info(self, outcome: BarOutcome | None) -> dict[str, Any]:
        return {
            "bar": int(self._episodes.bar[0]),
            "equity": float(self._episodes.accounts.equity[0]),
            "cost": 0.0 if outcome is None else float(outcome.cost[0]),
            "turnover": 0.0 if outcome is None else float(outcome.turnover[0]),
        }


class TradingVectorEnv(VectorEnv[Observation, IntArray, npt.NDArray[Any]]):
    """
    ## Description

    `num_envs` episodes of `TradingEnv` on one market, stepped together without a Python loop over environments. See
    `TradingEnv` for actions, observations, rewards, starts, ends and info.

    ## Arrays

    All arrays are [num_envs, ...]. Rewards are float64. Info arrays have masks with the prefix `_`, as in gymnasium's
    SyncVectorEnv.

    ## Autoreset

    The mode is SAME_STEP: the step that ends an episode returns the first observation of the next episode. The true
    last observation is in `info["final_obs"]` (objects, [num_envs]) and the info of the ending step in
    `info["final_info"]`.

    ## Randomness

    All episodes draw their starts from one generator, `np_random`. `seed` seeds it, `reset()` continues from its state,
    and `reset(seed=...)` seeds it again.

    ## Resuming

    `state_dict` returns the complete changing state. An environment that loads it continues bit for bit like one that
    was never interrupted.

    ## Arguments

    As for `TradingEnv`. `num_envs`: the number of episodes; `seed`: the seed of `np_random`, random by default. Raises
    as `TradingEnv` does.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it like this
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        market: MarketData,
        config: EnvironmentConfig,
        num_envs: int,
        seed: int | None = None,
        statistics: FeatureStatistics | None = None,
    ) -> None:
        self._episodes = Episodes(market, config, num_envs, statistics)
        self._under_way = False
        self._np_random, self._np_random_seed = seeding.np_random(seed)
        self.num_envs = num_envs
        self.statistics = self._episodes.observer.statistics
        self.single_observation_space = self._episodes.observer.space
        self.single_action_space = Discrete(len(config.positions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin all episodes; return observations, [num_envs, D], and info. Raises as `TradingEnv.reset` does."""
        super().reset(seed=seed)
        start = _start_option(options)
        if start is None:
            starts = self._episodes.random_starts(self.np_random, self.num_envs)
        else:
            starts = self._episodes.checked_starts(start, self.num_envs)
        self._episodes.begin(np.ones(self.num_envs, np.bool_), starts)
        self._under_way = True
        return self._episodes.observe(), self._info(np.zeros(self.num_envs), np.zeros(self.num_envs))

    def step(
        self, actions: npt.ArrayLike
    ) -> tuple[Observation, npt.NDArray[np.float64], BoolArray, BoolArray, dict[str, Any]]:
        """Trade one bar in each episode, by `actions`, [num_envs], and begin the next episodes of those that end."""
        if not self._under_way:
            raise ResetNeeded("no episode is under way: call reset() before step()")
        checked = _checked_actions(np.asarray(actions), self.num_envs, len(self._episodes.config.positions))
        outcome, terminated, truncated = self._episodes.step(checked)
        observation = self._episodes.observe()
        done = terminated | truncated
        if not done.any():
            return observation, outcome.reward, terminated, truncated, self._info(outcome.cost, outcome.turnover)

        final = self._info(np.where(done, outcome.cost, 0.0), np.where(done, outcome.turnover, 0.0), done)
        final_obs = np.full(self.num_envs, None, dtype=object)
        for index in np.flatnonzero(done):
            final_obs[index] = observation[index].copy()
        self._episodes.begin(done, self._episodes.random_starts(self.np_random, int(done.sum())))
        observation[done] = self._episodes.observe()[done]
        info = self._info(np.where(done, 0.0, outcome.cost), np.where(done, 0.0, outcome.turnover))
        info |= {"final_obs": final_obs, "_final_obs": done.copy(), "final_info": final, "_final_info": done}
        return observation, outcome.reward, terminated, truncated, info

    def state_dict(self) -> dict[str, Any]:
        """Return `episodes` (arrays by name), `rng` (the state of `np_random`, for JSON) and `under_way` (bool)."""
        return {
            "episodes": self._episodes.state_dict(),
            "rng": self.np_random.bit_generator.state,
            "under_way": self._under_way,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state from `state_dict` of an environment with the same market and config.

        Raises ValueError if the state has another number of episodes, or bars beyond this market.
        """
        self._episodes.load_state_dict(state["episodes"])
        self.np_random.bit_generator.state = state["rng"]
        self._under_way = bool(state["under_way"])

    def observe(self) -> Observation:
        """Return the present observations, [num_envs, D], as the last `reset` or `step` returned them."""
        return self._episodes.observe()

    def _info(
        self, cost: npt.NDArray[np.float64], turnover: npt.NDArray[np.float64], which: BoolArray | None = None
    ) -> dict[str, Any]:
        """Return info of the environments in `which`, by default all, with a mask per entry; 0 for the others."""
        bar, equity = self._episodes.bar.copy(), self._episodes.accounts.equity.copy()
        if which is None:
            which = np.ones(self.num_envs, np.bool_)
        else:
            bar[~which] = 0
            equity[~which] = 0.0
        values = {"bar": bar, "equity": equity, "cost": cost, "turnover": turnover}
        return values | {f"_{name}": which for name in values}


def _start_option(options: dict[str, Any] | None) -> Any:
    if unknown := set(options or ()) - {"start"}:
        raise ValueError(f"reset options: {', '.join(sorted(unknown))} unknown; the only option is start")
    return (options or {}).get("start")


def _checked_actions(actions: npt.NDArray[Any], count: int, choices: int) -> IntArray:
    if actions.shape != (count,) or actions.dtype.kind not in "iu" or actions.min() < 0 or actions.max() >= choices:
        raise ValueError(f"actions: got {actions}, must be {count} integers from 0 to {choices - 1}")
    return actions


gymnasium.register(
    id="quantum_trader/Trading-v0",
    entry_point="rl_training.core.trading.environment:TradingEnv",
    vector_entry_point="rl_training.core.trading.environment:TradingVectorEnv",
)
