"""Alerts about results: from the stored evaluations of versions to the message at a real receiver."""

from datetime import timedelta

import numpy as np
import pytest

from rl_training.alerts.kinds import Kind
from rl_training.alerts.models import Alert, AlertRule
from rl_training.core.config import EnvironmentConfig
from rl_training.core.evaluation.evaluation import evaluate
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.trading.features import FeatureStatistics
from rl_training.models import PolicyStore, PolicyVersion

pytestmark = pytest.mark.django_db


class Constant:
    """A policy that always takes the same action."""

    def __init__(self, action):
        self.action = action

    def predict(self, observations, deterministic=True):
        return np.full(len(observations), self.action)


def test_version_worse_than_flat_opens_alert(watched):
    watched.rule(Kind.WORSE_THAN_FLAT)
    watched.make_version(0.1)
    watched.opens_and_resolves(
        "rl_v3: the newest version is worse than flat",
        "Version 2 returned -12.34 % on 896 held-out bars, staying flat 0.00 %. Do not use it; train on more bars",
        lambda: watched.make_version(-0.1234),
        lambda: watched.make_version(0.01),
    )
    assert Alert.objects.get().run == PolicyVersion.objects.get(number=2).run


def test_version_worse_than_buy_and_hold_opens_alert(watched):
    watched.rule(Kind.WORSE_THAN_HOLDING)
    watched.make_version(0.1, 0.1)
    watched.opens_and_resolves(
        "rl_v3: the newest version is worse than buy and hold",
        "Version 2 returned 5.00 % on 896 held-out bars, buy and hold 20.00 %.",
        lambda: watched.make_version(0.05, 0.2),
        lambda: watched.make_version(0.3, 0.2),
    )


def test_open_alert_moves_to_the_newest_version_without_another_message(watched):
    watched.rule(Kind.WORSE_THAN_FLAT)
    watched.make_version(-0.1)
    assert watched.round() == ["open"]
    watched.make_version(-0.2)
    assert watched.round() == ["open"]
    alert = Alert.objects.get()
    assert alert.message.startswith("Version 2 returned -20.00 % on 896 held-out bars")
    assert (alert.run, alert.messages.count()) == (PolicyVersion.objects.get(number=2).run, 1)


def test_threshold_is_the_allowed_difference_of_returns(watched):
    rule = watched.rule(Kind.WORSE_THAN_FLAT, threshold=0.05)
    watched.make_version(-0.04)
    assert watched.round() == []
    AlertRule.objects.filter(pk=rule.pk).update(threshold=0.03)
    assert watched.round() == ["open"]


def test_failed_run_leaves_alert_about_newest_version_open(watched):
    watched.rule(Kind.WORSE_THAN_FLAT)
    watched.make_version(-0.1)
    assert watched.round() == ["open"]
    watched.finish(status="failed", avg_reward=None)
    assert watched.round() == ["open"]


def evaluation_of(action, **environment):
    """Return the evaluation of a policy with one action, as it is stored, and its environment."""
    config = EnvironmentConfig(positions=[-1.0, 0.0, 0.5, 1.0], features=["log_return_1"], **environment)
    market = planted_market(MarketConfig(source="planted", bars=200))
    statistics = FeatureStatistics.fit(market, config)
    return evaluate(Constant(action), market, config, statistics=statistics).as_dict()


@pytest.mark.parametrize(("action", "position"), [(0, "-1"), (2, "0.5"), (3, "1")])
def test_version_with_one_position_opens_alert(watched, action, position):
    watched.rule(Kind.SAME_POSITION)
    watched.make_version(0.1)
    watched.opens_and_resolves(
        "rl_v3: the newest version always holds the same position",
        f"Version 2 held position {position} through all 198 held-out bars: it ignores what it observes.",
        lambda: watched.make_version(0.1, evaluation=evaluation_of(action)),
        lambda: watched.make_version(0.1),
    )


def test_version_that_never_trades_opens_alert(watched):
    watched.rule(Kind.NEVER_TRADES)
    watched.rule(Kind.SAME_POSITION)
    watched.make_version(0.1)
    watched.opens_and_resolves(
        "rl_v3: the newest version never trades",
        "Version 2 stayed flat on all 198 held-out bars. Compare fee and slippage with the moves of a bar",
        lambda: watched.make_version(0.0, evaluation=evaluation_of(1)),
        lambda: watched.make_version(0.1),
    )


def test_version_that_trades_twice_opens_no_alert(watched):
    watched.rule(Kind.SAME_POSITION)
    watched.make_version(0.1, evaluation=evaluation_of(3) | {"turnover": 2.0})
    assert watched.round() == []


def test_rising_reward_with_falling_result_opens_alert(watched):
    watched.rule(Kind.OVERFITS, window=4)
    for reward, held_out in ((0.1, 0.2), (0.2, 0.1), (0.3, -0.1)):
        watched.make_version(held_out, avg_reward=reward)
    watched.opens_and_resolves(
        "rl_v3: the reward rises while the held-out result falls",
        "Over the last 4 versions on the same market, the training reward went from 0.1 to 0.4, and the return on "
        "held-out bars from 20.00 % to -20.00 %.",
        lambda: watched.make_version(-0.2, avg_reward=0.4),
        lambda: watched.make_version(0.3, avg_reward=0.5),
    )


def test_versions_of_other_markets_do_not_count_as_a_trend(watched):
    watched.rule(Kind.OVERFITS, window=3)
    watched.make_version(0.3, avg_reward=0.1, market="nasdaq")
    watched.make_version(0.2, avg_reward=0.2)
    watched.make_version(0.25, avg_reward=0.25, market="nasdaq")
    watched.make_version(0.1, avg_reward=0.3)
    assert watched.round() == []
    watched.make_version(0.0, avg_reward=0.4)
    assert watched.round() == ["open"]


def test_result_and_reward_that_rise_together_open_no_alert(watched):
    watched.rule(Kind.OVERFITS, window=3)
    for value in (0.1, 0.2, 0.3, 0.4):
        watched.make_version(value, avg_reward=value)
    assert watched.round() == []


@pytest.mark.parametrize("evaluation", [{"total_return": None}, {"total_return": "much", "turnover": "x"}, {"flat": 3}])
def test_unreadable_evaluation_changes_no_alert(watched, evaluation):
    for kind in (Kind.WORSE_THAN_FLAT, Kind.NEVER_TRADES, Kind.SAME_POSITION, Kind.OVERFITS):
        watched.rule(kind)
    watched.make_version(-0.1, evaluation=evaluation)
    watched.make_version(-0.1)
    assert watched.round() == ["open"]
    version = watched.make_version(-0.1, evaluation=evaluation)
    PolicyVersion.objects.filter(pk=version.pk).update(evaluation={})
    assert watched.round() == ["open"]


def test_policy_without_versions_has_no_alert(watched):
    for kind in (Kind.WORSE_THAN_FLAT, Kind.WORSE_THAN_HOLDING, Kind.NEVER_TRADES, Kind.SAME_POSITION, Kind.OVERFITS):
        watched.rule(kind)
    watched.finish(status="failed", avg_reward=None)
    assert watched.round() == []


def test_queries_about_versions_do_not_grow_with_rules(watched, django_assert_num_queries):
    policies = PolicyStore.objects.bulk_create(PolicyStore(name=f"policy_{number}") for number in range(150))
    AlertRule.objects.bulk_create(
        AlertRule(policy=policy, kind=kind)
        for policy in policies
        for kind in (Kind.WORSE_THAN_FLAT, Kind.NEVER_TRADES, Kind.OVERFITS)
    )
    watched.evaluator.round(watched.now)
    PolicyStore.objects.update(total_runs=1)
    # Five for the round, open alerts, rules, policies and outbox; two for validations, one for comparisons of
    # arms; two for the versions of 150 policies.
    with django_assert_num_queries(5 + 3 + 2):
        watched.evaluator.round(watched.now + timedelta(seconds=10))
    with django_assert_num_queries(5 + 3):
        watched.evaluator.round(watched.now + timedelta(seconds=20))
