import numpy as np
import pytest

from benchmarks.learning import main, table
from benchmarks.learning_tasks.control import CLEANRL, ControlTask
from benchmarks.learning_tasks.market_tasks import MarketTask
from benchmarks.learning_tasks.planted_markets import PlantedMarket
from benchmarks.learning_tasks.rows import ROWS
from benchmarks.results.targets import Row, Target, interquartile_mean, share_from
from rl_training.core.config import PPOConfig
from rl_training.core.market_config import MarketConfig


def figures(*values):
    return [{"figure": value} for value in values]


def row(*targets):
    return Row("a row", 1_000_000, lambda seed: {"figure": float(seed)}, targets)


def verdict(target, *values):
    return row(target).cells(figures(*values))[-1]


@pytest.mark.parametrize(
    ("target", "values", "expected"),
    [
        (Target("worst", min, 475.0), (475.0, 500.0), "ok"),
        (Target("worst", min, 475.0), (474.9, 500.0), "short"),
        (Target("most", max, 5.0, at_most=True), (5.0, 1.0), "ok"),
        (Target("most", max, 5.0, at_most=True), (5.1, 1.0), "short"),
        (Target("worst", min, 475.0), (float("nan"),), "short"),
        (Target("worst", min, None), (1.0,), "-"),
    ],
)
def test_verdict_is_ok_only_if_the_bound_is_reached(target, values, expected):
    assert verdict(target, *values) == expected


def test_row_with_one_missed_target_is_short():
    cells = row(Target("best", max, 490.0), Target("worst", min, 475.0)).cells(figures(500.0, 400.0))
    assert cells == (
        "a row",
        "2",
        "1,000,000",
        "best 500.0, worst 400.0",
        "best >= 490.0, worst >= 475.0",
        "short",
    )


def test_interquartile_mean_drops_a_quarter_at_both_ends():
    assert interquartile_mean([0.0, 2.0, 4.0, 100.0]) == 3.0


def test_target_can_require_nine_of_ten_seeds():
    target = Target("share", share_from(-115.0), 0.9)
    assert verdict(target, *[-110.0] * 9, -200.0) == "ok"
    assert verdict(target, *[-110.0] * 8, -200.0, -115.1) == "short"


def test_table_is_markdown_with_aligned_columns():
    lines = table([row(Target("worst", min, 1.0)).cells(figures(1.0))]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].endswith("| ok      |")


def test_rows_have_unique_names():
    assert len({row.name for row in ROWS}) == len(ROWS) >= 11


def test_unknown_row_is_refused_with_the_known_names():
    with pytest.raises(SystemExit, match="CartPole-v1"):
        main(["--only", "absent"])


def test_control_task_measures_the_mean_of_training_episodes():
    figure = ControlTask("CartPole-v1", CLEANRL, 1024).measure(0)["figure"]
    assert 10 < figure < 60


@pytest.mark.parametrize("two_observations", [True, False])
def test_best_policy_earns_its_reward_and_idle_policy_nothing(two_observations):
    market = PlantedMarket(MarketConfig(source="planted", planted_phi=0.2), 0.001, two_observations, bars=100_000)
    bars = market.seeded(3).evaluation()
    best = bars.follow_best(market.best())
    assert best.rewards.mean() == pytest.approx(8.33, abs=0.25)
    idle = bars.follow_policy(lambda observations: np.ones(len(observations), np.int64))
    assert not idle.targets.any()
    assert not idle.rewards.any()


def test_market_task_trains_on_earlier_bars_and_measures_later_ones():
    market = PlantedMarket(MarketConfig(source="planted", planted_phi=0.2), 0.001, True, bars=20_000)
    ppo = PPOConfig(
        learning_rate=3e-3, gamma=0.9, entropy_coefficient=0.0, num_envs=32, rollout_length=64, minibatch_size=512
    )
    figures = MarketTask(market, ppo, 20_480, 256).measure(0)
    assert 60 < figures["figure"] <= 101
    assert figures["figure"] == pytest.approx(100 * figures["bp"] / figures["best"])
    assert 50 < figures["market"] <= 100
