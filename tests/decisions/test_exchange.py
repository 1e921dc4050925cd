"""A policy on an exchange that fails: requests are retried with growing pauses, and the failure is shown.

The exchange is an HTTP server, which the deciding process reads through ccxt as it reads Binance.
"""

from datetime import UTC, datetime, timedelta

import pytest

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market_config import MarketConfig
from rl_training.decisions.answers import NoDecisionError, Reason, current
from rl_training.decisions.process.reading import Reader
from rl_training.decisions.process.rounds import Rounds
from rl_training.models import Decision, FollowedMarket
from tests import exchange_server
from tests.decisions.growing import COSTS, assert_replays, decisions, live_arm
from tests.exchange_server import HOUR, NEWEST
from tests.stored import deploy

pytestmark = pytest.mark.django_db
# A request is repeated this many times before a reading counts as failed.
REQUESTS = 5
DOWN, TOO_OFTEN = (503, "maintenance"), (429, "slow down")
UNKNOWN_SYMBOL = (400, '{"code":-1121,"msg":"Invalid symbol."}')


class Exchange:
    """An exchange that trades more and more bars, and the rounds of a deciding process on it.

    waited  the pauses between the requests of a reading, in seconds
    late    how long after the close of the newest bar the rounds are
    """

    def __init__(self, server):
        self.server, self.connected, self.waited = server, 0, []
        self.newest, self.late = NEWEST, timedelta(seconds=60)
        server.trade(NEWEST - 249 * HOUR, NEWEST)
        self.rounds = Rounds(Reader(self.connect))

    def connect(self, series):
        # ccxt takes seconds to import: only the processes that run these tests should.
        from rl_training.core.market.exchange_pages import ExchangePages

        self.connected += 1
        return ExchangePages(series, self.server.connect, self.waited.append)

    @property
    def now(self):
        return datetime.fromtimestamp(self.newest + HOUR, UTC) + self.late

    def round(self, bars=0):
        self.server.trade(self.newest + HOUR, self.newest + bars * HOUR)
        self.newest += bars * HOUR
        self.rounds.settle(self.now)
        return self.rounds.advance(FollowedMarket.objects.get().pk, self.now)


@pytest.fixture
def exchange(policy, versions):
    policy.market = MarketConfig(source="exchange", exchange="binance", symbol="BTC/USDT", bars=200)
    policy.environment = EnvironmentConfig.model_validate(COSTS)
    policy.fallback, policy.drawdown_limit = "none", 100
    policy.save_settings()
    with exchange_server.exchange_server() as server:
        found = Exchange(server)
        deploy(versions[0], at=found.now - timedelta(days=1))
        found.rounds.settle(found.now)
        yield found


def assert_refused(policy, exchange, error):
    with pytest.raises(NoDecisionError, match=error) as refused:
        current(policy, lambda: exchange.now)
    assert refused.value.reason == Reason.STALE_BARS


def test_new_bars_of_an_exchange_are_decided(policy, exchange):
    assert [exchange.round(), exchange.round(1), exchange.round(), exchange.round(2)] == [3, 3, 0, 6]
    assert exchange.connected == 1
    assert FollowedMarket.objects.get().due_at == exchange.now + timedelta(hours=1)
    assert_replays(policy)


def test_outage_is_retried_shown_and_ends_without_a_lost_bar(policy, exchange):
    exchange.round()
    exchange.server.failures = [DOWN] * 3 * REQUESTS
    assert [exchange.round(1), exchange.round(1), exchange.round(1)] == [0, 0, 0]
    market = FollowedMarket.objects.get()
    assert (market.failures, market.due_at - exchange.now) == (3, timedelta(seconds=4))
    assert exchange.waited == [1.0, 2.0, 4.0, 8.0] * 3
    assert_refused(policy, exchange, "does not answer 5 requests")
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
    exchange.server.failures = [DOWN] * 2 * REQUESTS
    assert [exchange.round(1), actor(policy)] == [0, "user"]
    assert [exchange.round(2), actor(policy)] == [0, "guard"]
    assert exchange.round() == 9
    assert [row.version is None for row in decisions(live_arm(policy))] == [False, False, False, True]
    assert_replays(policy)


def test_rate_limit_is_waited_for_within_a_reading(policy, exchange):
    exchange.round()
    exchange.server.failures = [TOO_OFTEN] * 2
    assert exchange.round(1) == 3
    assert (exchange.waited, FollowedMarket.objects.get().failures) == ([1.0, 2.0], 0)
    assert_replays(policy)


def test_rate_limit_that_lasts_is_retried_after_a_growing_pause(policy, exchange):
    exchange.round()
    exchange.server.failures = [TOO_OFTEN] * 2 * REQUESTS
    pauses = []
    for _ in range(2):
        assert exchange.round(1) == 0
        pauses.append((FollowedMarket.objects.get().due_at - exchange.now).total_seconds())
    assert pauses == [1.0, 2.0]
    assert "slow down" in FollowedMarket.objects.get().error
    assert exchange.round(1) == 9
    assert_replays(policy)


def test_partial_pages_are_completed(policy, exchange):
    exchange.round()
    exchange.server.page_limit = 7
    assert exchange.round(3) == 9
    exchange.server.failures = [(200, '[["16000')]
    assert exchange.round(1) == 3
    assert exchange.waited == [1.0]
    assert_replays(policy)


def test_page_without_the_newest_known_bar_is_no_answer(policy, exchange):
    exchange.round()
    known = dict(exchange.server.bars)
    exchange.server.bars.clear()
    assert exchange.round(1) == 0
    assert FollowedMarket.objects.get().error.endswith("the exchange answers no bars up to the newest known bar")
    exchange.server.bars |= known
    assert exchange.round() == 3
    assert_replays(policy)


def test_renamed_symbol_is_shown_until_the_exchange_has_it_again(policy, exchange, monkeypatch):
    exchange.round()
    exchange.server.failures = [UNKNOWN_SYMBOL]
    assert exchange.round(1) == 0
    assert "Invalid symbol." in FollowedMarket.objects.get().error
    monkeypatch.setitem(exchange_server.BINANCE_SYMBOL, "symbol", "NEWUSDT")
    monkeypatch.setitem(exchange_server.BINANCE_SYMBOL, "baseAsset", "NEW")
    for _ in range(12):
        assert exchange.round(1) == 0
    market = FollowedMarket.objects.get()
    assert market.error.startswith("binance BTC/USDT 1h: the exchange has no such symbol")
    assert (market.failures, market.due_at - exchange.now) == (13, timedelta(seconds=300))
    assert Decision.objects.count() == 3
    assert_refused(policy, exchange, "has no such symbol")
    monkeypatch.undo()
    assert exchange.round() == 39
    assert_replays(policy)


def test_delisted_symbol_gets_no_decision_and_ends_what_is_live(policy, exchange):
    policy.fallback = "flat"
    policy.save_settings("fallback")
    exchange.round(1)
    exchange.late = timedelta(hours=3)
    assert [exchange.round(), exchange.round()] == [0, 0]
    market = FollowedMarket.objects.get()
    assert (market.error, market.failures, Decision.objects.count()) == ("", 0, 3)
    assert actor(policy) == "guard"
    with pytest.raises(NoDecisionError) as refused:
        current(policy, lambda: exchange.now)
    assert refused.value.reason == Reason.NO_LIVE_VERSION


def test_changed_old_bar_of_an_exchange_is_noted(policy, exchange):
    exchange.round()
    opened, high, low, close, volume = exchange.server.bars[NEWEST - HOUR]
    exchange.server.bars[NEWEST - HOUR] = (opened, high, low, close * 1.0001, volume)
    exchange.round(1)
    assert decisions(live_arm(policy))[-1].note == "1 earlier bar changed at the source."
    assert_replays(policy)


def test_bar_of_an_exchange_is_not_taken_for_closed_by_a_clock_ahead(policy, exchange):
    exchange.round()
    exchange.server.behind = 3600
    assert exchange.round(1) == 0
    assert "s ahead of the exchange's: its newest bar may not have closed" in FollowedMarket.objects.get().error
    exchange.server.behind = 0
    assert exchange.round() == 3
    assert_replays(policy)


def test_answer_of_an_exchange_that_a_cache_held_is_used(policy, exchange):
    exchange.round()
    exchange.server.behind = exchange.server.age = 3600
    assert exchange.round(1) == 3
    assert FollowedMarket.objects.get().error == ""
