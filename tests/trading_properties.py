"""Properties of every episode, as functions that raise AssertionError.

The tests of the environment check them on random cases. The tests of planted faults show that each fault fails one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.trading.accounting import Accounts
from rl_training.core.trading.environment import TradingEnv, TradingVectorEnv
from rl_training.core.trading.features import FeatureStatistics
from tests.trading_cases import FREE, Case, make_market, random_market, rules, scaled_prices


@dataclass(frozen=True)
class Episode:
    """The results of an episode. Accounts and observations begin with those at reset."""

    observations: list[np.ndarray]
    accounts: list[Accounts]
    bars: list[int]
    rewards: list[float]
    costs: list[float]
    turnovers: list[float]
    terminated: bool
    truncated: bool

    @property
    def equity(self) -> list[float]:
        return [float(account.equity[0]) for account in self.accounts]

    @property
    def units(self) -> list[float]:
        return [float(account.units[0]) for account in self.accounts]


def run(case: Case, statistics: FeatureStatistics | None = None) -> Episode:
    """Run one episode from the first possible bar."""
    env = TradingEnv(case.market, case.config, statistics)
    observation, info = env.reset(options={"start": 1})
    episode = Episode([observation], [env.accounts], [info["bar"]], [], [], [], False, False)
    for action in case.actions:
        observation, reward, terminated, truncated, info = env.step(action)
        episode.observations.append(observation)
        episode.accounts.append(env.accounts)
        episode.bars.append(info["bar"])
        episode.rewards.append(reward)
        episode.costs.append(info["cost"])
        episode.turnovers.append(info["turnover"])
        if terminated or truncated:
            return replace(episode, terminated=terminated, truncated=truncated)
    raise AssertionError(f"the episode had not ended after {len(case.actions)} decisions")


def close_to(value: float, expected: float, tolerance: float = 1e-9) -> bool:
    return math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance * 1e-3)


def equity_equals_the_ledger(case: Case) -> None:
    """Equity is cash + units x close, and also 1 + the price moves of the units held - the costs of all trades."""
    episode, market, config = run(case), case.market, case.config
    ledger = 1.0
    for step, (before, after) in enumerate(zip(episode.accounts, episode.accounts[1:], strict=False)):
        bar = episode.bars[step + 1]
        previous, open_, close = market.close[bar - 1], market.open[bar], market.close[bar]
        held, units, equity = before.units[0], after.units[0], after.equity[0]
        assert close_to(equity, after.cash[0] + units * close)
        if episode.terminated and step == len(episode.rewards) - 1:
            assert (equity, after.cash[0], units) == (config.ruin_fraction, config.ruin_fraction, 0.0)
            return
        fill = open_ * (1 + math.copysign(config.slippage, units - held))
        trading = abs(units - held) * (abs(fill - open_) + config.fee * fill)
        holding = config.funding_rate * units * close + config.borrow_rate * max(-units * close, 0.0)
        assert close_to(episode.costs[step], trading + holding)
        at_open = ledger + held * (open_ - previous)
        ledger = at_open - trading + units * (close - open_) - holding
        assert close_to(equity, ledger)
        target = config.positions[case.actions[step]]
        if target == (config.positions[case.actions[step - 1]] if step else 0.0):
            assert units == held
        else:
            assert close_to(units * open_, target * (at_open - trading))
        assert close_to(episode.turnovers[step], abs(units - held) * open_ / at_open)


def always_long_is_the_price_ratio(case: Case) -> None:
    episode = run(case.under(**FREE, ruin_fraction=1e-9).always(1.0))
    prices = case.market.close[2:] / case.market.open[2]
    assert episode.equity[0] == 1.0
    assert all(close_to(value, ratio) for value, ratio in zip(episode.equity[1:], prices, strict=True))


def always_flat_is_one(case: Case) -> None:
    flat = replace(case.under(positions=[0.0, 1.0]), actions=(0,) * len(case.actions))
    episode = run(flat)
    assert episode.equity == [1.0] * (len(case.actions) + 1)
    assert episode.rewards == [0.0] * len(case.actions)


def rewards_sum_to_log_equity(case: Case) -> None:
    episode = run(case)
    assert abs(sum(episode.rewards) - math.log(episode.equity[-1])) <= 1e-9


def ruin_is_floored_and_ends(case: Case) -> None:
    episode, floor = run(case), case.config.ruin_fraction
    assert all(value > floor for value in episode.equity[:-1])
    assert episode.equity[-1] == floor if episode.terminated else episode.equity[-1] > floor
    assert np.isfinite(episode.rewards).all()


def only_ruin_terminates(case: Case) -> None:
    episode = run(case)
    assert episode.terminated == (episode.equity[-1] <= case.config.ruin_fraction)
    assert episode.truncated == (not episode.terminated)
    assert episode.terminated or len(episode.rewards) == case.config.episode_length


def observations_are_bounded(case: Case) -> None:
    space = TradingEnv(case.market, case.config).observation_space
    assert all(space.contains(observation) for observation in run(case).observations)


def later_bars_change_nothing(case: Case, at: int = 0) -> None:
    """Changed bars after bar t change no observation up to t and no reward up to t, bit for bit."""
    market = case.market
    last = 1 + at % (len(market) - 1)
    other = random_market(len(market), 7, volatility=0.2, gap=0.1)
    columns = ("open", "high", "low", "close", "volume")
    changed = MarketData(
        market.timestamp,
        *(np.concatenate((getattr(market, name)[: last + 1], getattr(other, name)[last + 1 :])) for name in columns),
    )
    statistics = FeatureStatistics.fit(market, case.config)
    one, two = run(case, statistics), run(replace(case, market=changed), statistics)
    known = sum(bar <= last for bar in one.bars)
    assert np.array_equal(one.observations[:known], two.observations[:known])
    assert one.rewards[: known - 1] == two.rewards[: known - 1]


def the_fill_ignores_the_rest_of_its_bar(case: Case) -> None:
    """Changed high, low and close of the first traded bar do not change the units bought at its open."""
    market = case.market
    close = market.close.copy()
    close[2] = market.open[2] * 1.001
    high, low = np.maximum(market.high, close) * 1.1, np.minimum(market.low, close) / 1.1
    changed = MarketData(market.timestamp, market.open, high, low, close, market.volume)
    statistics = FeatureStatistics.fit(market, case.config)
    one, two = run(case, statistics), run(replace(case, market=changed), statistics)
    assert one.turnovers[0] == two.turnovers[0]
    assert one.units[1] == two.units[1] or 0.0 in (one.units[1], two.units[1])


def costs_never_raise_equity(case: Case, name: str = "fee") -> None:
    """Setting one cost to zero never lowers equity; funding is a cost only for positions that pay it."""
    signed = min(case.config.positions) < 0
    paid = case.under(funding_rate=0.0 if signed else abs(case.config.funding_rate))
    assert run(paid).equity[-1] <= run(paid.under(**{name: 0.0})).equity[-1] * (1 + 1e-9)


def a_round_trip_costs_the_formula(case: Case) -> None:
    """At a flat price, a trade to position p and back to 0 leaves the equity (1 - k' |p|) / (1 + k |p|).

    A buy costs k = slippage + fee (1 + slippage) of its notional, a sale k = slippage + fee (1 - slippage). The opening
    trade dx = p / (1 + k |p|) costs k |dx|, which leaves 1 / (1 + k |p|); the closing trade costs k' of the notional,
    which is |p| of the equity left. Long 1 and back without slippage that is (1 - fee) / (1 + fee).
    """
    fee, slippage = case.config.fee, case.config.slippage
    buy, sell = slippage + fee * (1 + slippage), slippage + fee * (1 - slippage)
    for position in (p for p in case.config.positions if p):
        there, back = (buy, sell) if position > 0 else (sell, buy)
        expected = (1 - back * abs(position)) / (1 + there * abs(position))
        config = rules(**FREE | {"fee": fee, "slippage": slippage}, positions=[0.0, position], episode_length=2)
        episode = run(Case(make_market([50.0] * 4, [50.0] * 4), config, (1, 0)))
        assert close_to(episode.equity[-1], max(expected, config.ruin_fraction))


def holding_costs_accrue_linearly(case: Case, name: str = "borrow_rate", position: float = -1.0) -> None:
    """At a flat price each bar costs the same: rate x notional."""
    length, rate = case.config.episode_length, 0.0002
    config = rules(**FREE | {name: rate}, positions=[0.0, position], episode_length=length)
    market = make_market([50.0] * (length + 2), [50.0] * (length + 2))
    equity = run(Case(market, config, (1,) * length)).equity
    paid = rate * position if name == "funding_rate" else rate * (position < 0)
    assert all(close_to(value, 1 - paid * bars) for bars, value in enumerate(equity))


def long_and_short_profits_are_opposite(case: Case) -> None:
    """Without costs and with the same units, one profit is the negative of the other."""
    free = case.under(**FREE)
    long, short = run(free.always(1.0)), run(free.always(-1.0))
    solvent = min(len(long.rewards), len(short.rewards))
    for up, down in zip(long.equity[:solvent], short.equity[:solvent], strict=True):
        assert math.isclose(up - 1, -(down - 1), rel_tol=1e-9, abs_tol=1e-9)


def long_and_short_funding_sums_to_zero(case: Case) -> None:
    """One side receives exactly the funding that the other side pays."""
    funded = case.under(**FREE | {"funding_rate": case.config.funding_rate})
    long, short = run(funded.always(1.0)), run(funded.always(-1.0))
    solvent = min(len(long.rewards), len(short.rewards)) - 1
    assert long.costs[:solvent] == [-received for received in short.costs[:solvent]]


def scaling_prices_changes_nothing(case: Case, factor: float = 1000.0) -> None:
    scaled = run(replace(case, market=scaled_prices(case.market, factor)))
    episode = run(case)
    np.testing.assert_allclose(scaled.rewards, episode.rewards, rtol=0, atol=1e-9)
    np.testing.assert_allclose(scaled.observations, episode.observations, rtol=0, atol=1e-5)


def training_environment(market: MarketData, bars: int, config: EnvironmentConfig) -> TradingEnv:
    return TradingEnv(market[:bars], config)


def training_knows_only_its_bars(
    case: Case, environment: Callable[[MarketData, int, EnvironmentConfig], TradingEnv] = training_environment
) -> None:
    """Changed evaluation bars do not change the statistics and observations of the training environment."""
    bars, seen = len(case.market), []
    for seed in (1, 2):
        later = random_market(bars + 20, seed)
        prices = (np.concatenate((getattr(case.market, n), getattr(later, n)[bars:])) for n in ("open", "close"))
        env = environment(make_market(*prices), bars, case.config)
        seen.append((env.statistics, env.reset(seed=1)[0].tobytes()))
    assert seen[0] == seen[1]


def episodes_stay_inside_the_market(case: Case, spare: int = 3) -> None:
    """Every episode has the feature window before its start, and ends inside the market."""
    market = random_market(len(case.market) + spare, 5)
    envs = TradingVectorEnv(market, case.config, 8, seed=3)
    _, info = envs.reset()
    starts, bars = set(info["bar"].tolist()), set()
    for _ in range(2 * case.config.episode_length):
        info = envs.step(np.zeros(8, np.int64))[4]
        bars |= set(info["bar"].tolist())
        if "final_info" in info:
            starts |= set(info["bar"][info["_final_info"]].tolist())
            bars |= set(info["final_info"]["bar"].tolist())
    assert starts <= set(range(1, 2 + spare))
    assert max(bars) <= len(market) - 1


def short_data_is_refused(case: Case) -> None:
    with pytest.raises(MarketDataError, match=f"{len(case.market) - 1} bars.* {len(case.market)} are needed"):
        TradingEnv(case.market[:-1], case.config)


def knowing_the_last_return_earns_nothing() -> None:
    """On independent returns, a policy that trades on the last return has a mean profit within 4 deviations of 0."""
    bars = 5_000
    market = random_market(bars, seed=11)
    env = TradingEnv(market, rules(**FREE, positions=[-1.0, 1.0], episode_length=bars - 2, ruin_fraction=1e-9))
    _, info = env.reset()
    profits, ended = [], False
    while not ended:
        rose = market.close[info["bar"]] > market.close[info["bar"] - 1]
        _, reward, _, ended, info = env.step(int(rose))
        profits.append(math.expm1(reward))
    assert abs(np.mean(profits)) < 4 * np.std(profits) / math.sqrt(len(profits))
