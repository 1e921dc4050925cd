"""Evaluation of a policy on held-out bars, compared with simple rules and, on planted markets, with the best rule."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.backtest import POLICY, Backtest, Policy, run_backtest
from rl_training.core.evaluation.equity_curves import curve_points, drawdown
from rl_training.core.evaluation.references import rule_targets
from rl_training.core.market.bars import MarketData, MarketDataError
from rl_training.core.trading.accounting import FloatArray
from rl_training.core.trading.features import FeatureStatistics
from rl_training.core.trading.observation import Observer
from rl_training.core.words import count_of

# The most bars that the bootstrap of one interval draws in total. This many take about half a second.
_BOOTSTRAP_BARS = 10_000_000

# A smaller standard deviation is rounding: the account held no position.
_NO_DEVIATION = 1e-12


@dataclass(frozen=True, slots=True)
class Performance:
    """Results of one account. Money is in multiples of the initial equity; r are the simple returns of each bar."""

    total_return: float  # final / initial equity - 1
    sharpe: float | None  # mean(r) / deviation(r), annualised; None if all returns are equal
    sharpe_interval: tuple[float, float] | None  # 95 %, see `sharpe_interval`
    sortino: float | None  # mean(r) / sqrt(mean(min(r, 0)^2)), annualised; None if no bar lost
    max_drawdown: float  # largest 1 - equity / highest equity before; 0 to 1
    turnover: float  # sum of traded notional / equity
    time_in_market: float  # share of bars with a position; 0 to 1
    costs_paid: float  # sum of fee, slippage, funding and borrow
    hit_rate: float | None  # share of the bars with a position that gained; None if there are none
    equity_curve: tuple[float, ...]  # at `Evaluation.timestamps`


@dataclass(frozen=True, slots=True)
class Evaluation(Performance):
    """Results of a policy, and of references over the same bars with the same costs; see references.py."""

    bars: int  # number of decisions
    annualisation: float  # bars per year; the Sharpe and Sortino ratios contain its square root
    timestamps: tuple[str, ...]  # of the points of the equity curves, ISO 8601, UTC; at most CURVE_POINTS
    buy_and_hold: Performance  # holds position 1 from the first decision on
    flat: Performance
    last_return_followed: Performance  # holds the sign of the last bar's return
    last_return_opposed: Performance
    last_20_bars_followed: Performance  # holds the sign of the return of the last 20 bars
    best_possible: Performance | None  # the best rule on a planted market; None where it is unknown

    def as_dict(self) -> dict[str, Any]:
        """Return a dictionary that JSON can hold: every number is finite or None."""
        return asdict(self, dict_factory=_listing)


def evaluate(
    policy: Policy,
    market: MarketData,
    config: EnvironmentConfig,
    *,
    statistics: FeatureStatistics,
    best: FloatArray | None = None,
    on_progress: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Run `policy` once through `market`, from the first bar with a full feature window to the last.

    Accounting and observations are the same as in `TradingEnv`; a ruined account stays at its floor. `statistics` must
    come from the training bars. `best` are the target positions after each bar, [T], of the best rule, where it is
    known. `on_progress` is called repeatedly, so that a caller can distinguish a long evaluation from one that hangs.

    Raises MarketDataError where the market has no bar for a decision and one after it, or where equity exceeds what a
    float64 holds.
    """
    observer = Observer(market, config, statistics)
    needed = observer.first_bar + 2
    if len(market) < needed:
        raise MarketDataError(
            f"evaluation: {count_of(len(market), 'bar')}, but at least {needed} are needed: {observer.first_bar} "
            "before the first decision, its bar and the next bar"
        )
    rules = rule_targets(market, config)
    if best is not None:
        rules["best_possible"] = best
    backtest = run_backtest(policy, market, config, observer, list(rules.values()), on_progress)
    beyond = ~np.isfinite(backtest.equity).all(axis=1)
    if beyond.any():
        raise MarketDataError(
            f"evaluation: after {int(beyond.argmax())} of {len(backtest.cost)} bars equity is more than a number can "
            "hold; take fewer bars or smaller positions"
        )
    points = curve_points(backtest.equity)
    annualisation = market.bars_per_year
    closes = market.timestamp[observer.first_bar :][points]

    measured = performances(backtest, annualisation, points, on_progress)
    own: dict[str, Any] = {field.name: getattr(measured[POLICY], field.name) for field in fields(Performance)}
    references: dict[str, Any] = {"best_possible": None} | dict(zip(rules, measured[1:], strict=True))
    return Evaluation(
        **own,
        bars=len(backtest.cost),
        annualisation=annualisation,
        timestamps=stamps(closes),
        **references,
    )


def stamps(times: npt.NDArray[np.datetime64]) -> tuple[str, ...]:
    """Return timestamps as text, ISO 8601, UTC."""
    return tuple(f"{time}Z" for time in np.datetime_as_string(times, unit="s"))


def performances(
    backtest: Backtest,
    annualisation: float,
    points: npt.NDArray[np.int64],
    on_progress: Callable[[], None] = lambda: None,
) -> list[Performance]:
    """Return the results of each account of a backtest; `points` are the closes of the curves."""
    intervals = _sharpe_intervals(backtest.equity, annualisation, on_progress)
    return [
        Performance(**_performance(backtest, account, annualisation, points), sharpe_interval=interval)
        for account, interval in enumerate(intervals)
    ]


def _performance(
    backtest: Backtest, account: int, annualisation: float, points: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """Return all fields of Performance except the interval."""
    equity, held = backtest.equity[:, account], backtest.held[:, account]
    returns = _returns(equity)
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)))
    scale = float(np.sqrt(annualisation))
    return {
        "total_return": float(equity[-1] / equity[0] - 1.0),
        "sharpe": scale * float(_sharpe(returns)) if _varies(returns) else None,
        "sortino": scale * float(returns.mean()) / downside if downside > _NO_DEVIATION else None,
        "max_drawdown": float(drawdown(equity).max()),
        "turnover": float(backtest.turnover[:, account].sum()),
        "time_in_market": float(held.mean()),
        "costs_paid": float(backtest.cost[:, account].sum()),
        "hit_rate": float((returns[held] > 0).mean()) if held.any() else None,
        "equity_curve": tuple(equity[points].tolist()),
    }


def _returns(equity: FloatArray) -> FloatArray:
    """Return the simple return of each bar."""
    returns: FloatArray = equity[1:] / equity[:-1] - 1.0
    return returns


def _varies(returns: FloatArray) -> bool:
    return len(returns) > 1 and float(returns.std(ddof=1)) > _NO_DEVIATION


def _sharpe(returns: FloatArray) -> FloatArray:
    """Return mean / deviation of simple returns, [..., bars] -> [...]; 0 where they do not vary."""
    deviation = returns.std(axis=-1, ddof=1)
    varies = deviation > _NO_DEVIATION
    ratio: FloatArray = np.where(varies, returns.mean(axis=-1) / np.where(varies, deviation, 1.0), 0.0)
    return ratio


def _sharpe_intervals(
    equity: FloatArray, annualisation: float, on_progress: Callable[[], None]
) -> list[tuple[float, float] | None]:
    """Return the interval of each account's Sharpe ratio, None if its returns do not vary; `equity` is [closes, N].

    All accounts share the same resamples of bars, so further accounts cost little time.
    """
    returns = _returns(equity)
    varying = [account for account in range(returns.shape[1]) if _varies(returns[:, account])]
    found = sharpe_intervals(returns[:, varying], annualisation, on_progress=on_progress) if varying else []
    intervals: dict[int, tuple[float, float]] = dict(zip(varying, found, strict=True))
    return [intervals.get(account) for account in range(returns.shape[1])]


def sharpe_interval(returns: FloatArray, annualisation: float, seed: int = 0) -> tuple[float, float]:
    """Return the interval of sharpe_intervals() for one account's simple returns, [bars]."""
    return sharpe_intervals(returns[:, None], annualisation, seed)[0]


def sharpe_intervals(
    returns: FloatArray, annualisation: float, seed: int = 0, on_progress: Callable[[], None] = lambda: None
) -> list[tuple[float, float]]:
    """Return the 95 % percentile interval of the annualised Sharpe ratio of each account's simple returns, [bars, N].

    The stationary bootstrap (Politis and Romano, 1994) keeps the dependence between neighbouring bars. Its blocks have
    the mean length bars^(1/3). It draws 1,000 resamples, and fewer, but at least 100, beyond 10,000 bars. `on_progress`
    is called for each resample.
    """
    # arch imports pandas and statsmodels, which takes seconds. A run that resumes after a fault trains first.
    from arch.bootstrap import StationaryBootstrap

    resamples = int(np.clip(_BOOTSTRAP_BARS // len(returns), 100, 1000))
    bootstrap = StationaryBootstrap(int(np.ceil(len(returns) ** (1 / 3))), returns, seed=seed)
    scale = np.sqrt(annualisation)

    def statistic(resample: FloatArray) -> FloatArray:
        on_progress()
        ratios: FloatArray = scale * _sharpe(np.ascontiguousarray(resample.T))
        return ratios

    lower, upper = bootstrap.conf_int(statistic, resamples, method="percentile", size=0.95)
    return list(zip(lower.tolist(), upper.tolist(), strict=True))


def _listing(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs}
