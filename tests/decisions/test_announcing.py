"""Beat's hints that a bar is due."""

from datetime import timedelta

import pytest

from rl_training.core.market_config import MarketConfig
from rl_training.decisions.process.announcing import announce_due
from rl_training.models import FollowedMarket
from tests.stored import deploy

pytestmark = pytest.mark.django_db


def test_due_market_is_announced_once_until_the_message_is_taken(policy, growing, versions, streams):
    deploy(versions[0])
    growing.round()
    market = FollowedMarket.objects.get()
    assert announce_due(market.due_at - timedelta(seconds=1)) == 0
    assert announce_due(market.due_at) == 1
    assert announce_due(market.due_at) == 0
    assert streams.llen("decisions") == 1
    streams.delete("decisions")
    assert announce_due(market.due_at) == 1


def test_market_that_no_policy_follows_is_not_announced(policy, growing, versions, streams):
    deploy(versions[0])
    growing.round()
    policy.market = MarketConfig()
    policy.save_settings("market")
    growing.round()
    assert announce_due(growing.now + timedelta(days=1)) == 0
