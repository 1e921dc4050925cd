"""Alerts about the bars that policies decide on."""

from datetime import UTC, datetime, timedelta

import pytest

from rl_training.alerts.kinds import Kind
from rl_training.models import FollowedMarket
from tests.decisions.conftest import market_root, versions
from tests.decisions.growing import Growing, closing, set_up
from tests.stored import deploy

__all__ = ["market_root", "versions"]
pytestmark = pytest.mark.django_db


@pytest.fixture
def growing(watched, policy, versions, market_root):
    set_up(policy)
    found = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(minutes=1)))
    deploy(versions[0], at=found.now - timedelta(days=1))
    found.round()
    return found


def test_bar_that_does_not_come_opens_an_alert(watched, growing):
    watched.rule(Kind.DECISIONS_OLD)

    def later():
        watched.now += timedelta(hours=3)

    def bar_comes():
        FollowedMarket.objects.update(newest_at=watched.now - timedelta(hours=1))

    watched.opens_and_resolves("rl_v3: no new bar is decided", "The newest bar of growing.csv closed", later, bar_comes)


def test_changed_bar_opens_an_alert_for_an_hour(watched, growing):
    watched.rule(Kind.BARS_REVISED)

    def changes():
        lines = growing.file.read_text().splitlines(keepends=True)[1:]
        close = growing.market.close[growing.shown - 1]
        growing.rewrite([*lines[:-1], growing.line(growing.shown - 1, close=close * 1.01, high=close * 1.2)])
        growing.round()

    def later():
        watched.now += timedelta(minutes=62)

    text = "Bars of growing.csv changed at the source"
    watched.opens_and_resolves("rl_v3: bars changed at the source", text, changes, later)


def test_policy_that_decides_on_nothing_opens_no_alert(watched):
    watched.rule(Kind.DECISIONS_OLD)
    watched.rule(Kind.BARS_REVISED)
    assert watched.round() == []
