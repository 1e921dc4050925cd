"""The results of a walk-forward: metrics of its accounts, whole and by fold, and tests against references."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rl_training.core.evaluation.block_length import NO_DEVIATION
from rl_training.core.evaluation.deflated_sharpe import deflated_sharpe
from rl_training.core.evaluation.equity_curves import curve_points
from rl_training.core.evaluation.evaluation import Performance, performances, stamps
from rl_training.core.evaluation.mean_test import MeanTest, mean_test, resamples_for
from rl_training.core.run.walk_forward.guards import Conduct
from rl_training.core.run.walk_forward.stitching import Stitched
from rl_training.core.run.walk_forward.verdict import ALPHA, FLAT, MUST_BEAT, WALK_FORWARD, Verdict, judge, trial_level
from rl_training.core.trading.accounting import FloatArray


@dataclass(frozen=True)
class FoldResult:
    """A fold with the results of the walk-forward's account on its bars, and the log returns of all accounts there."""

    fold: dict[str, int]
    first_bar_at: str
    last_bar_at: str
    performance: Performance
    log_returns: dict[str, float]


@dataclass(frozen=True)
class WalkForwardReport:
    """The results of a walk-forward, or of its first folds.

    performances     by account; the equity curves are at `timestamps`
    tests            by reference: the walk-forward's change of log equity minus that of the reference, per bar
    sharpe_per_bar   of the walk-forward's account, not annualised; None if its returns are all equal. Other recipes'
                     deflated Sharpe ratios need it
    deflated_sharpe  None if there is no Sharpe ratio
    trials           how many recipes were tried on this market, this one included
    """

    bars: int
    annualisation: float
    timestamps: tuple[str, ...]
    performances: dict[str, Performance]
    folds: tuple[FoldResult, ...]
    tests: dict[str, MeanTest]
    sharpe_per_bar: float | None
    deflated_sharpe: float | None
    trials: int

    def judge(self, *, trial: int, alpha: float, must_beat: Sequence[str] = MUST_BEAT) -> Verdict:
        """Return the verdict on the recipe; see gate.judge()."""
        p_above = {name: test.p_above for name, test in self.tests.items()}
        below = self.tests[FLAT].p_below
        return judge(p_above, below, bars=self.bars, trial=trial, alpha=alpha, must_beat=must_beat)

    def conduct(self) -> list[Conduct]:
        """Return the conduct of the walk-forward's account in each fold, for the guards."""
        return [
            Conduct(
                bars=(bars := result.fold["end"] - result.fold["begin"]),
                mean_log_return=result.log_returns[WALK_FORWARD] / bars,
                max_drawdown=result.performance.max_drawdown,
                turnover=result.performance.turnover / bars,
            )
            for result in self.folds
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the results as JSON values; curves have at most 1,000 points, folds none."""
        values = asdict(self)
        for fold in values["folds"]:
            del fold["performance"]["equity_curve"]
        return values


def report_on(
    stitched: Stitched,
    *,
    trial: int = 1,
    alpha: float = ALPHA,
    trials: int = 1,
    other_sharpes: Sequence[float] = (),
    seed: int = 0,
    on_progress: Callable[[], None] = lambda: None,
) -> WalkForwardReport:
    """Return the results of the accounts of a walk-forward. They depend only on the arguments.

    trial, alpha   say at which level the tests must decide, which takes more resamples for late trials
    trials         how many recipes were tried on this market, this one included
    other_sharpes  `sharpe_per_bar` of the other recipes, if they have one
    """
    backtest, changes = stitched.backtest, stitched.changes
    points = curve_points(backtest.equity)
    accounts = performances(backtest, stitched.annualisation, points, on_progress)
    resamples, own = resamples_for(trial_level(trial, alpha)), stitched.names.index(WALK_FORWARD)
    differences = {name: changes[:, own] - changes[:, stitched.names.index(name)] for name in stitched.references}
    returns = np.expm1(changes[:, own])
    sharpe = _sharpe_per_bar(returns)
    return WalkForwardReport(
        bars=len(changes),
        annualisation=stitched.annualisation,
        timestamps=stamps(stitched.timestamps[points]),
        performances=dict(zip(stitched.names, accounts, strict=True)),
        folds=tuple(_fold_results(stitched, on_progress)),
        tests=difference_tests(differences, resamples, seed, on_progress),
        sharpe_per_bar=sharpe,
        deflated_sharpe=None if sharpe is None else deflated_sharpe(returns, [*other_sharpes, sharpe], trials),
        trials=trials,
    )


def difference_tests(
    differences: Mapping[str, FloatArray], resamples: int, seed: int, on_progress: Callable[[], None] = lambda: None
) -> dict[str, MeanTest]:
    """Return the test of each difference, by its name."""
    return {
        name: mean_test(values, seed=seed, resamples=resamples, on_progress=on_progress)
        for name, values in differences.items()
    }


def _sharpe_per_bar(returns: FloatArray) -> float | None:
    deviation = float(returns.std(ddof=1))
    return float(returns.mean()) / deviation if deviation > NO_DEVIATION else None


def _fold_results(stitched: Stitched, on_progress: Callable[[], None]) -> list[FoldResult]:
    found = []
    for fold in stitched.folds:
        backtest = stitched.of_fold(fold)
        begin, end = fold.begin - stitched.folds[0].begin, fold.end - stitched.folds[0].begin
        logs = np.log(backtest.equity[-1] / backtest.equity[0])
        own = backtest.accounts([stitched.names.index(WALK_FORWARD)])
        [performance] = performances(own, stitched.annualisation, curve_points(own.equity), on_progress)
        first, last = stamps(stitched.timestamps[[begin + 1, end]])
        found.append(
            FoldResult(asdict(fold), first, last, performance, dict(zip(stitched.names, logs.tolist(), strict=True)))
        )
    return found
