"""Trading one market, one episode or many at once. `TradingEnv` holds the specification of both."""

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

    One account that trades one market. At the close of bar t the policy sees bars up to t and chooses a target
    position, a fraction of equity: -1 short, 0 flat, 1 long. A changed target is traded at the open of bar t + 1. Then
    equity is marked at the close of bar t + 1 and the next decision is due. Equity begins at 1.

    ## Action space

    `Discrete(len(positions))`: action i is the target position `positions[i]`.

    An action equal to the target already held trades nothing: the units are held, though the market's moves have
    shifted the exposure away from the target. An episode begins flat, with target 0.

    ## Observation space

    `Box`, float32:

    | entry | meaning | range |
    |---|---|---|
    | one or two for each of `features` | market feature of bar t, see `features.py`: (value - mean) / scale | -5 to 5 |
    | position | exposure held: units x close / equity | within twice the largest target |
    | unrealised log return | log(equity / equity just after the last trade, its costs paid) | -5 to 5 |
    | drawdown | 1 - equity / highest equity at a close in this episode | 0 to 1 |

    Means and scales are those of `statistics`, or of `market` itself when none are given. Entries beyond their range
    are clipped to it.

    ## Money

    With E the equity and x the notional held, units x open, both at the open of bar t + 1 before the trade, the new
    target p trades the notional

        dx = (p E - x) / (1 + s k p),    s = sign(p E - x),    k = slippage + fee (1 + s slippage)

    A buy pays open x (1 + slippage), a sale receives open x (1 - slippage), and `fee` is paid on the notional at that
    price: together k |dx|. What is held then is p of the equity that remains, E - k |dx|, valued at the open.

    Every bar, at its close, funding_rate x notional (longs pay and shorts receive when positive) and borrow_rate x
    short notional are taken from cash, for units held from that bar's open. Equity = cash + units x close. Bars' highs
    and lows play no part.

    ## Reward

    log(equity at the close of t + 1 / equity at the close of t). The rewards of an episode sum to the log of its final
    over its initial equity, through costs and ruin alike.

    ## Starting state

    A bar drawn uniformly, by `np_random`, from all those from which `episode_length` decisions fit and that have the
    features' longest window before them. `reset(options={"start": bar})` begins at that bar.

    ## Episode end

    - Terminated: equity at or below `ruin_fraction`, at the open (after the trade) or at the close of a bar. The
      position is closed and equity is `ruin_fraction` exactly, however far the market gapped through.
    - Truncated: after `episode_length` decisions, unless the last one ruined.

    ## Info

    `bar` (index of the bar just closed), `equity`, and of the last bar `cost` (fee, slippage, funding and borrow, in
    multiples of the initial equity) and `turnover` (traded notional / equity at the open).

    ## Arguments

    `market`: the bars; `config`: rules and costs; `statistics`: means and scales of the features, from the bars that
    the policy was trained on. Raises MarketDataError, saying how many bars are needed, when an episode does not fit.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - declared like this by gymnasium

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
        if not self._under_way:
            raise ResetNeeded("no episode is under way: call reset() before step()")
        actions = _checked_actions(np.array([action]), 1, len(self._episodes.config.positions))
        outcome, terminated, truncated = self._episodes.step(actions)
        self._under_way = not (terminated[0] or truncated[0])
        reward = float(outcome.reward[0])
        return self._episodes.observe()[0], reward, bool(terminated[0]), bool(truncated[0]), self._info(outcome)

    @property
    def accounts(self) -> Accounts:
        """The account at the close of the present bar; every field is [1]."""
        return self._episodes.accounts

    def _info(self, outcome: BarOutcome | None) -> dict[str, Any]:
        return {
            "bar": int(self._episodes.bar[0]),
            "equity": float(self._episodes.accounts.equity[0]),
            "cost": 0.0 if outcome is None else float(outcome.cost[0]),
            "turnover": 0.0 if outcome is None else float(outcome.turnover[0]),
        }


class TradingVectorEnv(VectorEnv[Observation, IntArray, npt.NDArray[Any]]):
    """`num_envs` episodes of `TradingEnv` on one market, stepped together without a loop over them.

    Arrays are [num_envs, ...]; rewards are float64. Autoreset is SAME_STEP: when an episode ends, the observation
    returned is already the first of its next, the true last one is in `info["final_obs"]` (objects, [num_envs]) and
    that step's info in `info["final_info"]`, each with its mask `_final_obs`, `_final_info`, as gymnasium's
    SyncVectorEnv gives them. All episodes draw their starts from the one `np_random`, which `seed` seeds; a later
    `reset()` goes on from its state, `reset(seed=...)` begins anew.

    `state_dict` and `load_state_dict` carry everything that changes, so that a run restored from them goes on bit for
    bit like one never interrupted.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - declared like this by gymnasium
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
        """`episodes`: arrays by name; `rng`: the state of `np_random`, which JSON holds; `under_way`: bool."""
        return {
            "episodes": self._episodes.state_dict(),
            "rng": self.np_random.bit_generator.state,
            "under_way": self._under_way,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave for the same market and config. Raises ValueError if it cannot be theirs."""
        self._episodes.load_state_dict(state["episodes"])
        self.np_random.bit_generator.state = state["rng"]
        self._under_way = bool(state["under_way"])

    def observe(self) -> Observation:
        """Observations now, [num_envs, D], as the last `reset` or `step` returned them."""
        return self._episodes.observe()

    def _info(
        self, cost: npt.NDArray[np.float64], turnover: npt.NDArray[np.float64], which: BoolArray | None = None
    ) -> dict[str, Any]:
        """Info of the environments in `which`, all by default, zero in the others, with a mask for each entry."""
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
        raise ValueError(f"reset options: {', '.join(sorted(unknown))} unknown; the only one is start")
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
