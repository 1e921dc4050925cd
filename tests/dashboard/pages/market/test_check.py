"""The page about market data."""

import numpy as np
import pytest

from rl_training.core.market.bars import MarketData
from rl_training.core.market.exchange_cache import ExchangeCache
from rl_training.core.market.exchange_series import Series
from rl_training.models import InvalidConfig, PolicyStore
from tests.core.market.price_files import HEADER
from tests.dashboard.pages.page_text import words

pytestmark = pytest.mark.django_db
ROWS = [f"2020-01-{1 + hour // 24:02} {hour % 24:02}:00:00,10,12,9,{10 + hour % 2},5\n" for hour in range(48)]
TICK = HEADER + "".join(ROWS[:20]) + ROWS[20].replace("10,12,9,10", "10,9000,9,9000") + "".join(ROWS[21:])


@pytest.fixture
def root(tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path
    (tmp_path / "good.csv").write_text(
        HEADER.replace("volume", "volume,funding") + "".join(f"{r[:-1]},1\n" for r in ROWS)
    )
    (tmp_path / "tick.csv").write_text(TICK)
    return tmp_path


def test_usable_file_is_shown_with_its_chart_and_how_it_was_read(page, client, root):
    html = page("/market/?path=good.csv")
    text = words(html)
    assert "Usable, without suspicions." in text
    for shown in (
        "Layout by_name",
        "Unused columns funding",
        "Bars 48",
        "Spacing 1 h 0 min",
        "No policy uses this market.",
    ):
        assert shown in text
    assert 'data-chart="/market/chart.json?path=good.csv"' in html
    assert len(client.get("/market/chart.json?path=good.csv").json()["data"][0]) == 48


def test_too_few_bars_for_a_run_are_said_beside_the_answer(page, policy, root):
    text = "can train on this market: 38 of the 48 bars are to train on, but at least 616 are needed"
    assert f"No run with default settings {text}" in words(page("/market/?path=good.csv"))
    assert "can train on" not in page("/market/?policy=rl_v3")
    policy.market = policy.market.model_copy(update={"source": "file", "path": "good.csv"})
    policy.save_settings()
    assert f"No run of rl_v3 {text}" in words(page("/market/?policy=rl_v3"))


def test_refused_file_is_shown_with_its_reason_and_marks(page, client, root):
    text = words(page("/market/?path=tick.csv"))
    assert "Not usable: tick.csv: 2020-01-01T20:00:00: high 9000 between closes of 11 and 11: a bad tick" in text
    assert "Bars far from their neighbours: 1" in text
    series = client.get("/market/chart.json?path=tick.csv").json()
    assert [one["label"] for one in series["series"]] == ["Close", "Suspicious"]
    assert [value for value in series["data"][2] if value] == [9000.0]


def test_settings_of_the_form_decide_how_the_file_is_read(page, root):
    assert "Dropped rows bad ticks dropped: 1" in words(page("/market/?path=tick.csv&bad_rows=drop"))
    assert "must be the name of a time zone" in page("/market/?path=tick.csv&timezone=Mars")
    assert "has no instrument &#x27;AAA&#x27;" not in page("/market/?path=good.csv&symbol=AAA")


def test_changed_file_is_checked_again(page, root):
    page("/market/?path=tick.csv")
    (root / "tick.csv").write_text(HEADER + "".join(ROWS))
    assert "Usable, without suspicions." in page("/market/?path=tick.csv")


def test_market_of_a_policy_names_the_policies_that_use_it(page, policy, root):
    assert "Used by rl_v3" in words(page("/market/?policy=rl_v3"))
    PolicyStore.objects.filter(pk=policy.pk).update(
        market=policy.market.model_copy(update={"source": "file", "path": "x"})
    )
    assert "there is no such file under MARKET_DATA_ROOT" in page("/market/?policy=rl_v3")


def test_market_of_an_exchange_is_shown_from_its_cache_alone(page, policy, root):
    exchange = {"source": "exchange", "exchange": "kraken", "symbol": "BTC/USD"}
    PolicyStore.objects.filter(pk=policy.pk).update(market=policy.market.model_copy(update=exchange))
    assert "no bars are cached yet; a run fetches them" in page("/market/?policy=rl_v3")
    cache = ExchangeCache(Series("kraken", "BTC/USD", "1h"), root)
    cache.path.parent.mkdir(parents=True)
    for count in (700, 701):
        cache.write(MarketData(np.arange(count) * np.timedelta64(1, "h") + np.datetime64(0, "s"), *np.ones((5, count))))
        assert f"Bars {count}" in words(page("/market/?policy=rl_v3"))


def test_page_without_a_market_offers_the_files(page, client, root):
    html = page("/market/")
    assert '<option value="good.csv"></option>' in html
    assert "Upload a file" not in html
    assert client.get("/market/?policy=none").status_code == 404
    assert client.get("/market/chart.json?path=none.csv").json()["data"] == [[], []]


def test_market_that_is_stored_invalid_is_named_with_its_problem(page, policy):
    PolicyStore.objects.filter(pk=policy.pk).update(market=InvalidConfig({"source": "file"}, ()))
    shown = words(page("/market/?policy=rl_v3"))
    assert "The stored market of rl_v3 is invalid: path: required when source is file" in shown
