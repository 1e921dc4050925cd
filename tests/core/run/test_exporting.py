"""An exported folder decides as the policy does, in a process that cannot import this project."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pytest
import torch
from torch.nn import functional

from rl_training.core.config import EnvironmentConfig, FeatureName, PPOConfig, TrainingConfig
from rl_training.core.market.bars import COLUMNS, MarketData
from rl_training.core.market.planted import planted_market
from rl_training.core.market_config import MarketConfig
from rl_training.core.ppo.ensemble import AnyPolicy, Ensemble
from rl_training.core.run.checkpoint import SavedPolicy, load_policy
from rl_training.core.run.exporting.files import TEXTS, exported_files, macd_weights
from rl_training.core.run.training import train
from rl_training.core.trading.accounting import EQUITY, UNITS, open_accounts
from rl_training.core.trading.features import formula_of, market_features
from rl_training.core.trading.observation import Observer
from tests.own_columns import with_columns

SCRIPT = Path(__file__).parents[3] / "rl_training" / "core" / "run" / "exporting" / "decide.py"
MARKET = MarketConfig(source="planted", bars=1000)
ENVIRONMENT = EnvironmentConfig(
    features=[*get_args(FeatureName), "column:my signal (%)"],
    positions=[-2.0, 0.0, 1.0],
)
# -I: no path of this project, no user packages.
PYTHON = [sys.executable, "-I"]
MANY = """
import sys
sys.path.insert(0, ".")
import numpy, decide
from pathlib import Path
assert not {"torch", "rl_training"} & sys.modules.keys()
policy, tensors = decide.load(Path("."))
numpy.save("probabilities.npy", decide.probabilities(policy, tensors, numpy.load("observations.npy")))
"""


def bars() -> MarketData:
    """Return the bars of the market with a further column."""
    return with_columns(planted_market(MARKET), "my signal (%)")


def saved_policy(folder: Path, **ppo: Any) -> SavedPolicy:
    """Return a policy of a short training on features of every kind; `seeds` is its number of members."""
    seeds = ppo.pop("seeds", 1)
    small = PPOConfig(num_envs=8, rollout_length=64, minibatch_size=128, learning_rate=0.01, **ppo)
    environment = ENVIRONMENT.model_copy(update={"episode_length": 64})
    config = TrainingConfig(market=MARKET, environment=environment, ppo=small, episodes=4, seeds=seeds)
    train(config, bars()).save(folder)
    return load_policy(folder)


@pytest.fixture(scope="module", params=[{}, {"seeds": 3, "normalize_observations": True, "hidden_sizes": [16, 8, 4]}])
def exported(request, tmp_path_factory) -> tuple[SavedPolicy, Path]:
    """Return a policy and the folder that it is exported to."""
    source, folder = tmp_path_factory.mktemp("source") / "policy", tmp_path_factory.mktemp("exported")
    saved = saved_policy(source, **request.param)
    files = exported_files(saved, (source / "policy.safetensors").read_bytes(), {"policy": "rl_v3", "version": 7})
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return saved, folder


def probabilities(policy: AnyPolicy, observations: np.ndarray) -> np.ndarray:
    """Return the probabilities of the policy's actions."""
    rows = torch.from_numpy(observations)
    with torch.no_grad():
        if isinstance(policy, Ensemble):
            return policy.probabilities(rows).numpy()
        return functional.softmax(policy.logits(rows).double(), dim=1).numpy()


def many_observations(size: int) -> np.ndarray:
    """Return 100,000 observations: usual ones, ones at their limits, and ones beyond them."""
    generator = np.random.default_rng(0)
    parts = [
        generator.normal(0, 1, (50_000, size)),
        generator.choice([-5.0, -4.0, 0.0, 1.0, 5.0], (30_000, size)),
        generator.normal(0, 1, (20_000, size)) * 10.0 ** generator.uniform(-30, 6, (20_000, 1)),
    ]
    return np.concatenate(parts).astype(np.float32)


@pytest.mark.process
def test_script_gives_the_probabilities_of_100_000_observations(exported):
    saved, folder = exported
    observations = many_observations(saved.policy.shape.observation_size)
    np.save(folder / "observations.npy", observations)
    subprocess.run([*PYTHON, "-c", MANY], cwd=folder, check=True)
    expected = probabilities(saved.policy, observations)
    assert np.abs(np.load(folder / "probabilities.npy") - expected).max() <= 1e-6
    assert len(set(expected.argmax(axis=1))) > 1


def write_bars(market: MarketData, path: Path) -> None:
    columns = {name: getattr(market, name) for name in COLUMNS} | dict(market.own)
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]))


@pytest.mark.process
def test_script_decides_from_bars_and_account_as_the_policy_does(exported, tmp_path):
    saved, folder = exported
    market = bars()
    write_bars(market[:600][600 - 104 :], tmp_path / "bars.csv")
    account = open_accounts(1)
    account.rows[EQUITY], account.rows[UNITS] = 0.9, 0.5 / market.close[599]
    observer = Observer(market, saved.environment, saved.statistics)
    observation = observer.observe(np.array([599]), account)
    state = [str(float(value)) for value in observation[0, -3:]]
    command = [*PYTHON, str(folder / "decide.py"), str(tmp_path / "bars.csv"), *state]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    np.testing.assert_allclose(found["probabilities"], probabilities(saved.policy, observation)[0], atol=1e-6)
    assert found["target_position"] == saved.environment.positions[saved.predict(observation)[0]]


@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "account", "message"),
    [
        (None, [], "decide.py: FileNotFoundError: bars.csv not found."),
        ("", [], "bars.csv has 0 rows: needs a header and 104 bars"),
        (lambda rows: rows[:50], [], "bars.csv has 50 rows: needs a header and 104 bars"),
        (lambda rows: [*rows[:-1], rows[-1] + ",7"], [], "decide.py: ValueError: the number of columns changed from 7"),
        (lambda rows: [rows[0].replace("volume", "amount"), *rows[1:]], [], "decide.py: KeyError: 'volume'"),
        (lambda rows: [*rows[:-1], rows[-1] + "x"], [], "decide.py: ValueError: could not convert string to float"),
        (
            lambda rows: [*rows[:-1], rows[-1].rpartition(",")[0] + ",nan"],
            [],
            "bars.csv: NaN, or a close is not positive",
        ),
        (lambda rows: rows, ["1", "2"], "Decides by the policy beside it, with numpy alone. Usage: decide.py BARS.csv"),
        (lambda rows: rows, ["1", "2", "long"], "decide.py: ValueError: could not convert string to float: 'long'"),
        (lambda rows: rows, ["1", "2", "nan"], "bars.csv: NaN, or a close is not positive"),
    ],
)
def test_script_reports_invalid_input_in_one_line(exported, tmp_path, text, account, message):
    if text is not None:
        write_bars(bars()[:104], tmp_path / "bars.csv")
        rows = (tmp_path / "bars.csv").read_text().splitlines()
        (tmp_path / "bars.csv").write_text(text if isinstance(text, str) else "\n".join(text(rows)))
    command = [*PYTHON, str(exported[1] / "decide.py"), "bars.csv", *account]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
    assert done.stderr.splitlines()[-1].startswith(message)


def names_of(folder: Path) -> dict[str, Any]:
    """Return what decide.py of the folder defines."""
    names: dict[str, Any] = {"__name__": "decide"}
    exec(compile((folder / "decide.py").read_text(), "decide.py", "exec"), names)
    return names


def columns_of(market: MarketData) -> dict[str, np.ndarray]:
    columns = {name: getattr(market, name) for name in ("open", "high", "low", "close", "volume")}
    return columns | {"timestamp": market.timestamp} | dict(market.own)


def extreme_market() -> MarketData:
    """Return bars with a constant price, jumps, no volume, and equal volumes."""
    generator = np.random.default_rng(3)
    steps = np.concatenate([np.zeros(130), generator.normal(0, 0.2, 100), generator.normal(0, 1e-9, 130)])
    close = 1e-6 * np.exp(np.cumsum(steps))
    volume = np.concatenate([np.zeros(60), np.full(100, 1e25), generator.exponential(1e-3, 200)])
    time = np.datetime64("2020-01-01T00:00:00") + 5_417 * np.arange(360) * np.timedelta64(1, "s")
    return MarketData(timestamp=time, open=close, high=close * 1.01, low=close * 0.5, close=close, volume=volume)


@pytest.mark.parametrize(
    "market", [bars(), with_columns(extreme_market(), "my signal (%)")], ids=["planted", "extreme"]
)
def test_script_observes_bars_as_training_does(exported, market):
    saved, folder = exported
    names = names_of(folder)
    policy, _ = names["load"](folder)
    observer = Observer(market, saved.environment, saved.statistics)
    for bar in range(103, len(market), 7):
        expected = observer.observe(np.array([bar]), open_accounts(1))[0]
        found = names["observe"](policy, columns_of(market[bar - 103 : bar + 1]), [0.0, 0.0, 0.0])
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_script_has_at_most_60_lines_and_needs_numpy_alone():
    text = SCRIPT.read_text()
    imported = [line.split()[1] for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert len(text.splitlines()) <= 60
    assert imported == ["json", "sys", "pathlib", "numpy"]


def test_onnx_model_gives_probabilities_from_raw_values(exported):
    saved, folder = exported
    policy, _ = names_of(folder)["load"](folder)
    mean, scale, low, high = (
        np.array([entry[key] for entry in policy["observation"]]) for key in ("mean", "scale", "low", "high")
    )
    values = many_observations(len(mean)).astype(np.float64) * scale + mean
    observations = np.clip((values - mean) / scale, low, high).astype(np.float32)
    expected = probabilities(saved.policy, observations)
    session = onnxruntime.InferenceSession(folder / "policy.onnx")
    found, targets = session.run(None, {"values": values})
    assert np.abs(found - expected).max() <= 1e-5
    np.testing.assert_array_equal(targets, np.array(policy["positions"])[found.argmax(axis=1)])


def test_description_says_what_each_entry_is(exported):
    saved, folder = exported
    policy = json.loads((folder / "policy.json").read_text())
    assert (policy["policy"], policy["version"], policy["bars"]) == ("rl_v3", 7, 104)
    assert (policy["positions"], policy["costs"]["fee"]) == ([-2.0, 0.0, 1.0], 0.0005)
    texts = {entry["name"]: entry["text"] for entry in policy["observation"]}
    assert list(texts)[-3:] == ["position", "unrealised_log_return", "drawdown"]
    assert texts["column:my signal (%)"] == (
        "the value of the column my signal (%) of the market's file in the row of bar t, known at its close"
    )
    assert texts["log_return_5"] == "log(close[t] / close[t - 5])"
    assert texts["time_of_week_cos"] == "cos(2 pi ((seconds since 1970, UTC, - 345600) mod 604800) / 604800)"
    assert len(policy["members"]) == len(saved.policy.members)


def test_every_formula_has_a_text():
    assert {formula_of(feature)[0] for feature in ENVIRONMENT.features} == set(TEXTS)


def test_weights_of_macd_give_the_feature():
    market = planted_market(MARKET)
    found = macd_weights(12, 26, 9) @ market.close[-104:] / market.close[-1]
    assert abs(found - market_features(market, ["macd"])[-1, 0]) < 1e-12
