from datetime import UTC, datetime, timedelta

import pytest

from dashboard.charts import runs
from dashboard.charts.runs import EPISODES, bins
from dashboard.charts.series import TABLE_ROWS, drawable

START = datetime(2026, 1, 1, tzinfo=UTC)


def run(minute, status="succeeded", **columns):
    """Return the columns of a run that charts read."""
    return {
        "status": status,
        "finished_at": START + timedelta(minutes=minute),
        "avg_reward": 0.5,
        "duration_seconds": 10.0,
        "episodes_done": 4,
        "environment_steps": 5000,
    } | columns


def test_summary_of_one_run_is_singular():
    one = [run(0, episodes_done=1)]
    assert runs.episodes([[0.5]]).summary.startswith("1 episode of 1 successful run.")
    assert runs.episodes([[0.5], [0.5, 0.25]]).summary.startswith("3 episodes of the last 2 successful runs.")
    assert runs.distribution(one).summary.startswith("Average rewards of 1 successful run.")
    assert runs.durations(one).summary.startswith("Durations of 1 successful run, waiting")


def test_failed_run_has_a_mark_and_no_reward():
    data = runs.rewards([run(0, avg_reward=0.25), run(1, "failed", avg_reward=None)]).as_json()
    assert data["data"] == [[1767225600.0, 1767225660.0], [0.25, None], [None, 1.0]]
    assert [one["style"] for one in data["series"]] == ["points", "marks"]
    assert data["summary"] == (
        "The last 2 finished runs, 2026-01-01 00:00 to 2026-01-01 00:01 UTC, 1 of them failed. "
        "Newest 0.25, median 0.25, lowest 0.25, highest 0.25. "
        "A reward is the mean log return of an episode on training bars, after costs."
    )


def test_undrawable_value_is_a_gap():
    values = [1, -2.5, None, True, "1", float("nan"), float("inf"), 1e300]
    assert [drawable(value) for value in values] == [True, True, False, False, False, False, False, False]
    assert runs.rewards([run(0, avg_reward=float("nan"))]).series[0].values == [None]


def test_durations_and_speed_use_successful_runs_only():
    rows = [run(0), run(1, "failed", duration_seconds=999.0), run(2, episodes_done=0, duration_seconds=0.0)]
    assert runs.episode_durations(rows).series[0].values == [2.5, None]
    assert runs.speed(rows).series[0].values == [500.0, None]
    assert runs.durations(rows).series[0].values == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]


def test_each_value_is_in_one_bin_with_a_round_width():
    data = runs.distribution([run(n, avg_reward=value) for n, value in enumerate([0.0, 0.1, 0.11, 1.2])])
    assert data.bin_width == 0.1
    assert data.series[0].values == [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert data.rows[1] == ["0.1 to 0.2", "2"]


@pytest.mark.parametrize("values", [[0.0], [1.0, 1.0], [-3.0, 3.0], [1e-12, 2e-12], [1e15, -1e15], [5.0, 5.0 + 1e-12]])
def test_at_most_26_bins_hold_all_values(values):
    width, edges = bins(values)
    assert edges[0] <= min(values) + 1e-9 * width
    assert max(values) <= edges[-1] + 1e-9 * width
    assert 1 <= len(edges) - 1 <= 26


def test_charts_without_runs_are_empty():
    for key in ("rewards", "distribution", "durations", "episode_durations", "speed"):
        data = getattr(runs, key)([])
        assert data.as_json()["data"][0] == []
        assert "nothing to show yet" in data.summary


def test_many_episodes_are_thinned_and_keep_both_ends():
    data = runs.episodes([[float(n) for n in range(5000)]])
    assert (len(data.x), data.x[0], data.x[-1]) == (EPISODES, 1, 5000)
    assert f"{EPISODES:,} of them are shown, evenly spread" in data.summary


def test_summary_of_thinned_episodes_counts_all_of_them():
    rewards = [1.0] * 5000
    rewards[1] = 9.0
    data = runs.episodes([rewards])
    assert 9.0 not in data.series[0].values
    assert "highest 9. " in data.summary


def test_long_table_shows_the_newest_rows_first():
    data = runs.speed([run(n) for n in range(TABLE_ROWS + 1)])
    assert (len(data.rows), data.left_out) == (TABLE_ROWS, 1)
    assert data.columns == ["Finished (UTC)", "Steps per second"]
    assert data.rows[0] == ["2026-01-01 01:40:00", "500"]
