import json

import numpy as np
import pytest

from rl_training.core.evaluation.comparison import ComparedPolicy, ComparisonError, compare
from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.trading.features import FeatureStatistics, longest_window
from tests.trading_cases import random_market, rules

MARKET = random_market(400, seed=1)
SHORT, LONG = rules(fee=0.001), rules(fee=0.01, features=["log_return_20"])


class Always:
    def __init__(self, action):
        self.action = action

    def predict(self, observations, deterministic=True):
        return np.full(len(observations), self.action)


def compared(name, action, config, last_bar):
    statistics = FeatureStatistics.fit(MARKET[: last_bar + 1], config)
    return ComparedPolicy(name, Always(action), config, statistics, MARKET.timestamp[last_bar])


def test_policies_decide_on_the_bars_after_the_training_of_all_of_them():
    found = compare([compared("a", 2, SHORT, 99), compared("b", 0, LONG, 199)], MARKET)
    # 200 bars before, 20 of the longest window, and the last bar, which no decision follows.
    assert found.bars == 400 - 200 - 20 - 1
    assert found.span == (MARKET[220:].span[0], MARKET.span[1])
    assert found.digest == MARKET[220:].digest
    assert found.names[:4] == ("a", "b", "buy and hold", "flat")
    assert found.names[4:] == ("last return followed", "last return opposed", "last 20 bars followed")
    pairs = [(pair.account, pair.other) for pair in found.differences.pairs]
    assert pairs == [(0, 1), *((version, rule) for version in (0, 1) for rule in range(2, 7))]


def test_account_equals_the_evaluation_on_the_same_bars():
    found = compare([compared("a", 2, LONG, 99), compared("b", 0, SHORT, 199)], MARKET)
    for number, (action, config) in enumerate([(2, LONG), (0, SHORT.model_copy(update={"fee": 0.01}))]):
        bars = MARKET[220 - longest_window(config.features) :]
        alone = evaluate(Always(action), bars, config, statistics=FeatureStatistics.fit(MARKET, config))
        assert found.performances[number].total_return == alone.total_return
        assert found.performances[2:4] == (alone.buy_and_hold, alone.flat)
        assert found.performances[4:6] == (alone.last_return_followed, alone.last_return_opposed)
    assert found.costs["fee"] == 0.01


def test_scrambled_training_bars_change_nothing():
    scrambled = random_market(400, seed=2)
    columns = {name: np.concatenate([getattr(scrambled, name)[:200], getattr(MARKET, name)[200:]]) for name in
               ("open", "high", "low", "close", "volume")}  # fmt: skip
    policies = [compared("a", 2, SHORT, 99), compared("b", 0, LONG, 199)]
    assert compare(policies, type(MARKET)(MARKET.timestamp, **columns)) == compare(policies, MARKET)


def test_too_few_common_bars_are_refused_with_the_number_that_is_missing():
    with pytest.raises(ComparisonError) as error:
        compare([compared("version 1", 2, SHORT, 99), compared("version 2", 0, LONG, 339)], MARKET)
    assert str(error.value) == (
        "60 bars after 2024-01-15T03:00:00, the last bar that version 2 was trained on, but at least 71 are "
        "needed: 20 for the features of version 2, 50 decisions and the bar after; 11 more must close first"
    )


def test_positions_that_cannot_be_traded_at_the_costs_are_refused():
    expensive = rules(fee=0.09, positions=[0.0, 1.0])
    with pytest.raises(ComparisonError, match="^b cannot trade at the costs of the first version: "):
        compare([compared("a", 1, expensive, 99), compared("b", 0, rules(positions=[0.0, 10.0]), 99)], MARKET)


def test_stored_result_is_bounded_and_of_plain_numbers():
    long = random_market(3000, seed=1)
    policies = [ComparedPolicy(name, Always(2), SHORT, FeatureStatistics.fit(long, SHORT), long.timestamp[9]) for name in "abcdefgh"]  # fmt: skip  # noqa: E501
    stored = compare(policies, long).as_dict()
    assert {len(account["equity_curve"]) for account in stored["accounts"]} == {1000}
    assert len(json.dumps(stored, allow_nan=False)) < 200_000
