"""A policy on an exchange that fails: retried with growing pauses, shown, and nothing guessed."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange_series import ExchangeUnavailable
from rl_training.core.market_config import MarketConfig
from rl_training.decisions.answers import NoDecisionError, Reason, current
from rl_training.decisions.process.reading import Reader
from rl_training.decisions.process.rounds import Rounds
from rl_training.models import Decision, FollowedMarket
from tests.core.deciding.test_new_bars import SERIES, Pages
from tests.decisions.growing import BARS, COSTS, assert_replays, decisions, live_arm
from tests.stored import deploy

pytestmark = pytest.mark.django_db
OUTAGE = ExchangeUnavailable("the exchange does not answer, 5 times asked", file=str(SERIES))
DELISTED = MarketDataError("the exchange has no such symbol", file=str(SERIES))


class Exchange:
    """An exchange that shows more and more bars, and the rounds of a deciding process on it."""

    def __init__(self):
        self.shown, self.broken, self.connected = 250, [], 0
        self.rounds = Rounds(Reader(self.connect))

    def connect(self, series):
        assert series == SERIES
        self.connected += 1
        return self

    @property
    def series(self):
        return SERIES

    limit = 100

    def page(self, since):
        return Pages(BARS[: self.shown], broken=self.broken and [self.broken.pop(0)]).page(since)

    @property
    def now(self):
        opened = int(BARS.timestamp[self.shown - 1].astype(np.int64))
        return datetime.fromtimestamp(opened, UTC) + timedelta(hours=1, seconds=60)

    def round(self, bars=0):
        self.shown += bars
        self.rounds.settle(self.now)
        return self.rounds.advance(FollowedMarket.objects.get().pk, self.now)


@pytest.fixture
def exchange(policy, versions):
    policy.market = MarketConfig(source="exchange", exchange="kraken", symbol="BTC/USD", bars=200)
    policy.environment = EnvironmentConfig.model_validate(COSTS)
    policy.fallback = "none"
    policy.save_settings()
    found = Exchange()
    deploy(versions[0], at=found.now - timedelta(days=1))
    found.rounds.settle(found.now)
    return found


def test_new_bars_of_an_exchange_are_decided(policy, exchange):
    assert [exchange.round(), exchange.round(1), exchange.round(), exchange.round(2)] == [3, 3, 0, 6]
    assert exchange.connected == 1
    market = FollowedMarket.objects.get()
    assert market.due_at == exchange.now + timedelta(hours=1)
    assert_replays(policy)


def test_outage_is_retried_shown_and_ends_without_a_lost_bar(policy, exchange):
    exchange.round()
    exchange.broken = [OUTAGE] * 3
    assert [exchange.round(1), exchange.round(1), exchange.round(1)] == [0, 0, 0]
    market = FollowedMarket.objects.get()
    assert (market.failures, market.due_at - exchange.now) == (3, timedelta(seconds=4))
    with pytest.raises(NoDecisionError, match="does not answer, 5 times asked") as error:
        current(policy, lambda: exchange.now)
    assert error.value.reason == Reason.STALE_BARS
    assert exchange.round() == 9
    assert exchange.connected == 4
    assert [row.note.startswith("Decided") for row in decisions(live_arm(policy))[1:]] == [True, True, False]
    assert_replays(policy)


def actor(policy):
    return policy.deployments.latest("at").actor


def test_long_outage_takes_a_guarded_policy_flat(policy, exchange):
    policy.fallback = "flat"
    policy.save_settings("fallback")
    exchange.round()
    exchange.broken = [OUTAGE] * 2
    assert [exchange.round(1), actor(policy)] == [0, "user"]
    assert [exchange.round(2), actor(policy)] == [0, "guard"]
    assert exchange.round() == 9
    assert [row.version is None for row in decisions(live_arm(policy))] == [False, False, False, True]
    assert_replays(policy)


def test_symbol_that_is_gone_is_shown_and_nothing_is_guessed(policy, exchange):
    exchange.round()
    exchange.broken = [DELISTED] * 20
    for _ in range(12):
        assert exchange.round(1) == 0
    market = FollowedMarket.objects.get()
    assert market.error == "kraken BTC/USD 1h: the exchange has no such symbol"
    assert market.due_at - exchange.now == timedelta(seconds=300)
    assert Decision.objects.count() == 3


def test_changed_past_of_an_exchange_is_seen(policy, exchange, monkeypatch):
    exchange.round()
    monkeypatch.setitem(BARS.__dict__, "close", BARS.close.copy())
    BARS.close[248] *= 1.0001
    exchange.round(1)
    assert decisions(live_arm(policy))[-1].note == "1 earlier bar changed at the source."
    assert_replays(policy)
