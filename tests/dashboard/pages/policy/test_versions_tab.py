import re
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.dashboard.pages.page_rows import version_of
from tests.dashboard.pages.page_text import words
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db
VERSIONS = "/policies/rl_v3/versions/"
SP500 = {"market": {"source": "sp500"}, "environment": {"episode_length": 100}}
NASDAQ = {"market": {"source": "nasdaq"}}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def store(policy, value, number, config=SP500, **evaluation):
    """Store a version with this held-out return."""
    found = {"total_return": value, "bars": 1000, "sharpe": value, "sharpe_interval": [-1.0, 1.0]}
    found |= {"max_drawdown": 0.25, "turnover": 12.5, "time_in_market": 0.5}
    found |= {"buy_and_hold": {"total_return": 0.1}, "flat": {"total_return": 0.0}}
    run = finished_run(policy, config=config, avg_reward=0.05)
    return version_of(run, number, evaluation=found | evaluation)


def order(html):
    """Return the numbers of the versions of the list in its order."""
    return [int(number) for number in re.findall(r'value="rl_v3:(\d+)"', html)]


def test_version_is_listed_with_its_results(page, policy):
    deploy(store(policy, 0.2, 1), NOON)
    text = words(page(VERSIONS))
    assert "Version 1 returned 20.00 % on 1,000 held-out bars of sp500" in text
    assert re.search(r"sp500 1,000 . above flat and buy and hold 20.00 % 0.00 % 10.00 %", text)
    assert "0.20 (-1.00 to 1.00) 25.00 % 12.5 50.00 % 0.05" in text
    assert "2026-01-01 12:00 to now sp500" in text


def test_list_is_sorted_by_each_column_with_missing_values_last(page, policy):
    for number, value in enumerate((0.1, 0.3, -0.2), 1):
        store(policy, value, number, max_drawdown=value)
    version_of(finished_run(policy, config=SP500), 4)
    deploy(policy.versions.get(number=2), NOON)
    assert order(page(VERSIONS)) == [4, 3, 2, 1]
    assert order(page(f"{VERSIONS}?sort=number")) == [1, 2, 3, 4]
    assert order(page(f"{VERSIONS}?sort=-held_out_return")) == [2, 1, 3, 4]
    assert order(page(f"{VERSIONS}?sort=max_drawdown")) == [3, 1, 2, 4]
    assert order(page(f"{VERSIONS}?sort=-live"))[0] == 2
    assert order(page(f"{VERSIONS}?sort=nothing&page=x")) == [4, 3, 2, 1]


def test_heading_of_the_sorted_column_reverses_the_order(page, policy):
    store(policy, 0.1, 1)
    html = page(f"{VERSIONS}?sort=-sharpe")
    assert 'aria-sort="descending"><a href="?sort=sharpe">Sharpe ratio' in html
    assert 'href="?sort=-turnover"' in html
    assert 'href="?sort=max_drawdown"' in html


def test_list_is_paged(page, policy):
    for number in range(1, 52):
        version_of(finished_run(policy), number)
    assert order(page(VERSIONS)) == list(range(51, 1, -1))
    last = page(f"{VERSIONS}?page=2")
    assert order(last) == [1]
    assert "Page 2 of 2, 51 versions" in words(last)


def test_versions_of_several_markets_name_their_market(page, policy):
    store(policy, 0.1, 1)
    assert "Market:" not in page(VERSIONS)
    store(policy, 0.2, 2, config=NASDAQ)
    html = page(VERSIONS)
    assert "Training, sp500" in html
    assert "Held-out, nasdaq" in html
    assert order(page(f"{VERSIONS}?market=nasdaq")) == [2]


def test_training_and_held_out_rewards_are_charted_side_by_side(page, client, policy):
    store(policy, 0.1, 1)
    page(VERSIONS)
    chart = client.get("/charts/rl_v3/versions.json").json()
    assert [one["label"] for one in chart["series"]] == ["Training", "Held-out"]
    # 0.05 over 100 bars, log(1.1) over 1,000 bars, in basis points.
    assert chart["data"] == [[1], [5.0], [0.953102]]


def test_list_reads_no_evaluation(page, policy):
    store(policy, 0.1, 1)
    with CaptureQueriesContext(connection) as queries:
        page(f"{VERSIONS}?sort=-live")
    assert not [query["sql"] for query in queries if '"evaluation"' in query["sql"]]


def test_policy_without_versions_says_how_one_is_made(page, policy):
    assert "There is no version yet: the first successful run makes a version." in words(page(VERSIONS))
