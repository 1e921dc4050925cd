import json

import pytest

from benchmarks.throughput import main, parse, summarise
from benchmarks.training_speed.machine import operations
from rl_training.core.config import PPOConfig

ROUND = {
    "gflops": 100.0,
    "steps_per_second": 200_000.0,
    "defaults": 190_000.0,
    "many_bars": 180_000.0,
    "evaluation": 500_000.0,
    "sb3_default": 1_000.0,
    "sb3_best": 8_000.0,
    "sb3_stepped_together": 16_000.0,
    "collect": 1e-6,
    "estimate": 2e-7,
    "update": 3.8e-6,
}


def test_operations_of_a_step_are_those_of_its_products():
    # With 11 observations, 3 actions, and an actor and a critic of 64-64, there are 9,856 weights. There are 4 epochs.
    assert operations(PPOConfig()) == 2 * 9856 * 13


def test_ratios_compare_results_of_the_same_round():
    slower = {name: figure / 2 for name, figure in ROUND.items()}
    figures = summarise([ROUND, slower, slower], PPOConfig())
    assert figures["steps_per_second"] == 100_000
    assert figures["ratio_default"] == 200
    assert figures["ratio_best"] == 25
    assert figures["many_bars_fraction"] == 0.9
    assert figures["bound"] == round(50e9 / 256_256)
    assert figures["fraction_of_bound"] == pytest.approx(200_000 * 256_256 / 100e9)


def test_last_line_is_json(monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.throughput.measure", lambda *given: [ROUND])
    main(["--json", "--threads", "1"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"steps_per_second", "bound", "fraction_of_bound"} <= figures.keys()
    assert {"sb3_default", "sb3_best", "ratio_default", "ratio_best"} <= figures.keys()


def test_rounds_below_1_are_refused():
    with pytest.raises(SystemExit):
        parse(["--rounds", "0"])
