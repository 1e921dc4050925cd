import math

import numpy as np
import pytest

from rl_training.core.ppo.ppo import Iteration
from rl_training.core.run.curves import METRICS, POINTS, Curve, RunCurves, metrics_of
from rl_training.core.run.progress import Progress
from rl_training.core.run.training import train
from tests.core.run.small_run import CONFIG, MARKET


def filled(entries):
    """Return a curve of the numbers from 1 to `entries`."""
    curve = Curve(["value"])
    for number in range(1, entries + 1):
        curve.add(number, {"value": float(number)})
    return curve


def test_short_run_has_a_point_for_each_entry():
    assert filled(3).as_dict() == {"x": [1, 2, 3], "value": [1.0, 2.0, 3.0], "width": 1}
    assert filled(0).as_dict() == {"x": [], "value": [], "width": 1}
    assert len(filled(POINTS).as_dict()["x"]) == POINTS


def test_longer_run_has_means_of_neighbours():
    found = filled(POINTS + 1).as_dict()
    assert (found["width"], len(found["x"])) == (2, POINTS // 2 + 1)
    assert (found["x"][:2], found["value"][:2]) == ([2, 4], [1.5, 3.5])
    assert (found["x"][-1], found["value"][-1]) == (POINTS + 1, POINTS + 1.0)


@pytest.mark.parametrize("entries", [399, 400, 401, 12_345, 100_000])
def test_points_are_bounded_and_weigh_all_entries_alike(entries):
    found = filled(entries).as_dict()
    assert POINTS // 2 <= len(found["x"]) <= POINTS
    assert found["x"][-1] == entries
    widths = np.diff([0, *found["x"]])
    assert set(widths[:-1]) == {found["width"]}
    assert np.average(found["value"], weights=widths) == pytest.approx((entries + 1) / 2, rel=1e-5)


def test_missing_value_does_not_count_in_the_mean():
    curve = Curve(["a", "b"])
    for number in range(1, POINTS + 2):
        curve.add(number, {"a": 1.0} if number % 2 else {"a": 3.0, "b": 5.0})
    found = curve.as_dict()
    assert (found["a"][0], found["b"][0]) == (2.0, 5.0)
    assert (found["a"][-1], found["b"][-1]) == (1.0, None)


@pytest.mark.parametrize("entries", [3, 500])
def test_second_value_of_an_entry_counts_in_the_mean_of_its_point(entries):
    curve, once = filled(entries), filled(entries).as_dict()
    for number in range(1, entries + 1):
        curve.add(number, {"value": number + 8.0})
    found = curve.as_dict()
    assert (found["x"], found["width"]) == (once["x"], once["width"])
    assert found["value"] == pytest.approx([value + 4 for value in once["value"]])


@pytest.mark.parametrize("stop", [1, 150, POINTS, POINTS + 1, 777])
def test_continued_curve_equals_the_uninterrupted_one(stop):
    continued = filled(0)
    continued.load_tensors(filled(stop).tensors())
    for number in range(stop + 1, 1001):
        continued.add(number, {"value": float(number)})
    assert continued.as_dict() == filled(1000).as_dict()


def test_checkpoint_with_no_or_incomplete_curves_begins_new_ones():
    curves = RunCurves()
    curves.load_tensors({}, "curves")
    curves.load_tensors({f"curves.iterations.{key}": value for key, value in filled(5).tensors().items()}, "curves")
    curves.add_episodes([(7, 0.5), (8, math.nan)])
    assert curves.as_dict()["episodes"] == {"x": [7, 8], "reward": [0.5, None], "width": 1}
    assert curves.as_dict()["iterations"]["x"] == []


def test_metrics_of_an_iteration_are_finite_and_entropy_is_positive():
    given = {"train/entropy_loss": -1.05, "train/approx_kl": math.nan, "time/fps": 3.0}
    assert metrics_of(Iteration(1, 64, given, np.zeros((1, 1)))) == {"entropy": 1.05}


def test_run_has_a_curve_of_its_episodes_and_iterations():
    iterations: list[Iteration] = []
    live: list[RunCurves] = []
    seen: list[Progress] = []
    result = train(
        CONFIG,
        MARKET,
        on_iteration=iterations.append,
        on_begin=lambda curves, _: live.append(curves),
        on_progress=seen.append,
    )
    assert live[0].as_dict() == result.curve
    episodes, metrics = result.curve["episodes"], result.curve["iterations"]
    assert episodes["x"] == [1, 2, 3, 4, 5]
    assert episodes["reward"] == pytest.approx(result.episode_rewards, rel=1e-5)
    assert metrics["x"] == [1, 2, 3, 4, 5, 6, 7, 8]
    for name, key in METRICS.items():
        sign = -1 if name == "entropy" else 1
        assert metrics[name] == pytest.approx([sign * one.metrics[key] for one in iterations], rel=1e-5)
    assert (seen[-1].iteration, seen[-1].metrics) == (8, metrics_of(iterations[-1]))
