from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.utils import timezone

from rl_training.core.run.walk_forward.verdict import FLAT, WALK_FORWARD
from rl_training.files import bars
from rl_training.models import Trial, Validation
from rl_training.validation import judging
from rl_training.validation.accounts import Accounts
from rl_training.validation.monitoring import request_due
from tests.core.run.small_run import MARKET
from tests.stored import finished_run
from tests.validations import request_validation, reversed_bars, succeed_validation

pytestmark = pytest.mark.django_db

LAST = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture
def validated(policy) -> Validation:
    return succeed_validation(request_validation(policy, folds=4), bars=1000, bars_last=LAST)


def due_after(days):
    return request_due(timezone.now() + timedelta(days=days))


def test_validated_recipe_is_repeated_after_revalidate_days(validated):
    assert [due_after(days) for days in (29, 31, 31)] == [0, 1, 0]
    again = Validation.objects.latest("pk")
    assert (again.monitored, again.trial, again.folds) == (validated, None, 4)
    assert Trial.objects.count() == 1


def test_validated_recipe_is_repeated_after_a_fifth_of_new_bars(policy, validated):
    run = finished_run(policy, market_summary={"bars": 1199})
    assert due_after(2) == 0
    run.market_summary = {"bars": 1200}
    run.save()
    assert (due_after(0.5), due_after(2)) == (0, 1)


@pytest.mark.parametrize("change", [{"promotion": "manual"}, {"enabled": False}, {"seeds": 1}])
def test_policy_that_does_not_use_the_validation_monitors_nothing(policy, validated, change):
    for name, value in change.items():
        setattr(policy, name, value)
    policy.save_settings(*change)
    assert due_after(31) == 0


def accounts_with(mean):
    """Return accounts on 40 days that gain `mean` a day, give or take 1 %, the last 36 of them after LAST."""
    times = np.datetime64("2026-01-02", "s") + np.arange(40) * np.timedelta64(86400, "s")
    own = mean + np.tile([0.01, -0.01], 20)
    return Accounts((WALK_FORWARD, FLAT), times, np.column_stack([own, np.zeros(40)]))


def test_account_behind_flat_ends_the_validation(validated):
    found = judging.monitor(validated, MARKET, accounts_with(-0.02))
    assert (found["bars"], found["p_below_flat"] < 0.05) == (36, True)
    why = "on the 36 bars since then its account fell behind flat, by 200.00 bp per bar (p = "
    assert found["ends"].startswith(why)


def test_replaced_bars_end_the_validation(validated):
    bars.store(MARKET)
    Validation.objects.update(bars_digest=MARKET.digest)
    validated.refresh_from_db()
    assert judging.monitor(validated, MARKET, accounts_with(0.02))["ends"] == ""
    other = reversed_bars(MARKET)
    found = judging.monitor(validated, other, accounts_with(0.02))
    assert found["ends"] == "299 of the 300 bars that the recipe was validated on have changed"


def test_account_that_gains_ends_nothing(validated):
    assert judging.monitor(validated, MARKET, accounts_with(0.02))["ends"] == ""


def test_few_new_bars_decide_nothing(validated):
    Validation.objects.update(bars_last=datetime(2026, 1, 30, tzinfo=UTC))
    validated.refresh_from_db()
    found = judging.monitor(validated, MARKET, accounts_with(-0.02))
    assert (found["bars"], found["p_below_flat"], found["ends"]) == (11, None, "")


def test_ended_validation_stays_ended_for_its_first_reason(policy, validated):
    again = request_validation(policy)
    judging.end_monitored(again, "first")
    judging.end_monitored(again, "second")
    validated.refresh_from_db()
    assert (validated.ended_because, validated.ended_at is not None) == ("first", True)
