import math

import numpy as np
import pytest

from rl_training.core.run.walk_forward.guards import Conduct, Limits, broken_guards, limits_for

LIMITS = Limits(bars=100, mean_log_return=-0.001, max_drawdown=0.3, turnover=0.2)


def test_version_at_its_limits_may_go_live():
    assert broken_guards(Conduct(100, -0.001, 0.3, 0.2), LIMITS) == []


def test_version_beyond_its_limits_is_held_back_with_each_reason():
    assert broken_guards(Conduct(100, -0.0011, 0.31, 0.25), LIMITS) == [
        "mean log return of -11.00 bp per bar on 100 held-out bars is below -10.00 bp, the 1 % quantile of the "
        "walk-forward",
        "maximum drawdown of 31.0% is above 30.0%, 1.5 times that of the walk-forward's worst fold",
        "turnover of 0.25 per bar is above 0.2, 2 times that of the walk-forward's worst fold",
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_result_that_is_not_finite_holds_a_version_back(value):
    assert broken_guards(Conduct(100, 0.1, value, 0.1), LIMITS) == [f"maximum drawdown is {value}, not a finite number"]


def test_limits_come_from_the_walk_forward():
    changes = np.random.default_rng(1).normal(0.0005, 0.01, 2000)
    limits = limits_for(changes, [Conduct(1000, 0.0, 0.1, 0.3), Conduct(1000, 0.0, 0.2, 0.1)], 400)
    assert limits.bars == 400
    assert (limits.max_drawdown, limits.turnover) == pytest.approx((0.3, 0.6))
    # The mean of 400 independent bars deviates by 0.01 / 20; its 1 % quantile is 2.33 deviations below.
    assert limits.mean_log_return == pytest.approx(changes.mean() - 2.33 * 0.0005, abs=1e-4)
