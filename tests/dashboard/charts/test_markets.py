"""Runs of different markets in one chart."""

import pytest

from dashboard.charts import runs
from dashboard.charts.policies import charts_of
from rl_training.models import TrainingRun
from tests.dashboard.charts.charted_rows import store
from tests.dashboard.charts.test_runs import run

SP500, NASDAQ, FILE = {"source": "sp500"}, {"source": "nasdaq"}, {"source": "file", "path": "gold.csv"}


def on(*markets):
    """Return a run on each market, with rewards 1, 2, 3 ..."""
    return [run(n, market=market, avg_reward=float(n + 1)) for n, market in enumerate(markets)]


def test_each_market_has_a_line_of_its_own_with_its_name():
    data = runs.rewards(on(SP500, SP500, FILE, SP500))
    assert [(one.label, one.values, one.spans) for one in data.series] == [
        ("Average reward, sp500", [1.0, 2.0, None, 4.0], True),
        ("Average reward, gold.csv", [None, None, 3.0, None], True),
    ]
    assert len({one.colour for one in data.series}) == 2


@pytest.mark.parametrize("chart", [runs.rewards, runs.episode_durations, runs.speed])
def test_no_line_joins_runs_on_different_markets(chart):
    data = chart(on(SP500, NASDAQ, SP500))
    assert [[value is None for value in one.values] for one in data.series] == [
        [False, True, False],
        [True, False, True],
    ]


def test_episodes_of_different_markets_are_not_joined():
    data = runs.episodes([[1.0, 2.0], [3.0]], ["sp500", "nasdaq"])
    assert [(one.label, one.values) for one in data.series] == [
        ("Reward, sp500", [1.0, 2.0, None]),
        ("Reward, nasdaq", [None, None, 3.0]),
    ]


def test_summary_counts_the_newest_market_only():
    rows = on(SP500, NASDAQ, NASDAQ)
    summary = runs.rewards(rows).summary
    assert "2 markets. On nasdaq, the market of the newest run: newest 3, median 2.5, lowest 2, highest 3." in summary
    assert runs.distribution(rows).series[0].values.count(1) == 2


def test_chart_of_a_single_market_does_not_name_it():
    data = runs.speed(on(SP500, SP500 | {"train_fraction": 0.7}, None))
    assert [one.label for one in data.series] == ["Steps per second"]


@pytest.mark.django_db
def test_market_is_read_from_the_stored_config(policy):
    [first] = store(policy, 1, avg_reward=0.1, episode_rewards=[0.1, 0.1], config={"market": SP500})
    store(policy, 2, avg_reward=0.2, episode_rewards=[0.2, 0.2], config={"market": NASDAQ})
    TrainingRun.objects.filter(pk=first.pk).update(finished_at="2025-01-01T00:00:00Z")
    charts = charts_of("rl_v3")
    assert [one.label for one in charts["rewards"].series] == ["Average reward, sp500", "Average reward, nasdaq"]
    assert charts["episodes"].series[0].values == [0.1, 0.1, None, None, None, None]
