"""The programs in the documents run, and the tables and numbers agree with the code."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

from rl_training.alerts.kinds import SPECS
from rl_training.core.config import EnvironmentConfig, FeatureName, PPOConfig, TrainingConfig
from rl_training.core.market.bars import MarketData, split_market
from rl_training.core.market.files.price_file import load_file
from rl_training.core.market.planted import planted_market
from rl_training.core.market.reading import WORDS
from rl_training.core.market_config import FILE_FIELDS, MarketConfig
from rl_training.core.market_layouts import layout_table
from rl_training.core.ppo.ensemble import combined
from rl_training.core.ppo.policy import Policy, PolicyShape
from rl_training.core.run.checkpoint import load_policy, save_policy
from rl_training.core.run.training import train
from rl_training.core.trading.features import FeatureStatistics, feature_names, longest_window, market_features
from rl_training.core.trading.observation import Observer

ROOT = Path(__file__).parents[1]
# The folder that the documents use as an example.
ARTIFACT = Path("var/artifacts/rl_v3/3f2a9c01d4e7-1")
MARKET = MarketConfig(source="planted", bars=1000)
ENVIRONMENT = EnvironmentConfig(
    features=list(get_args(FeatureName)),
    episode_length=16,
)


def program_in(document: str, containing: str) -> str:
    """Return the Python program of a document that contains the text."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / document).read_text(), re.DOTALL)
    [found] = [program for program in programs if containing in program]
    return str(found)


def run(program: str, name: str = "document") -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name}
    exec(compile(program, "document", "exec"), names)
    return names


def random_policy(seed: int, *, normalises: bool, first_action: int, hidden_sizes: tuple[int, ...]) -> Policy:
    size, generator = 11, np.random.default_rng(seed)
    policy = Policy.create(PolicyShape(size, 3, first_action, hidden_sizes, normalises, normalises))
    weights = torch.Generator().manual_seed(seed)
    for parameter in policy.network.parameters():
        parameter.data.normal_(generator=weights)
    if policy.observations is not None:
        policy.observations.update(generator.normal(1.0, 3.0, (100, size)).astype(np.float32))
    return policy


def save_random_policy(folder: Path, members: int, **shape: Any) -> None:
    policy = combined([random_policy(seed, **shape) for seed in range(members)])
    environment = EnvironmentConfig()
    names = feature_names(environment.features)
    statistics = FeatureStatistics(names, (0.0,) * len(names), (1.0,) * len(names))
    save_policy(folder, policy, environment=environment, statistics=statistics, metadata={})


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize(
    ("normalises", "first_action", "hidden_sizes"), [(False, 0, (64, 64)), (True, 0, (8,)), (True, 5, (16, 8, 4))]
)
def test_script_computes_actions_from_artifact(tmp_path, members, normalises, first_action, hidden_sizes):
    shape = {"normalises": normalises, "first_action": first_action, "hidden_sizes": hidden_sizes}
    save_random_policy(tmp_path / "p", members, **shape)
    observations = np.random.default_rng(1).normal(0, 3, (2000, 11)).astype(np.float32)
    expected = load_policy(tmp_path / "p").predict(observations)
    assert set(expected) == {first_action, first_action + 1, first_action + 2}
    actions: Callable[..., Any] = run(program_in("artifacts.md", "def actions"))["actions"]
    np.testing.assert_array_equal(actions(tmp_path / "p", observations), expected)


@pytest.mark.usefixtures("trained")
def test_script_prints_position_of_trained_policy(capsys):
    run(program_in("artifacts.md", "def actions"), "__main__")
    assert float(capsys.readouterr().out) in ENVIRONMENT.positions


def test_script_imports_only_numpy_and_the_standard_library():
    imported = re.findall(r"^(?:import|from) (\w+)", program_in("artifacts.md", "def actions"), re.MULTILINE)
    assert imported == ["json", "pathlib", "numpy"]


@pytest.fixture
def trained(tmp_path, monkeypatch) -> None:
    """Train a small policy into the folder that the documents use as an example, below the current folder."""
    ppo = PPOConfig(num_envs=4, rollout_length=16, minibatch_size=32, hidden_sizes=[8])
    result = train(TrainingConfig(market=MARKET, environment=ENVIRONMENT, ppo=ppo), planted_market(MARKET))
    result.save(tmp_path / ARTIFACT)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("trained")
def test_operations_snippet_uses_what_was_trained(capsys):
    run(program_in("operations.md", "load_policy"))
    position, episode = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"position now: (-1|0|1)\.0", position)
    found = re.fullmatch(r"bars (\d+) to (\d+): [+-]\d+\.\d%", episode)
    assert found is not None
    assert int(found[2]) - int(found[1]) == ENVIRONMENT.episode_length


@pytest.mark.usefixtures("trained")
def test_readme_snippet_starts_at_a_random_bar(capsys):
    run(program_in("../README.md", "load_policy"))
    first = capsys.readouterr().out
    assert re.fullmatch(r"position at bar \d+: (-1|0|1)\.0\n", first)
    run(program_in("../README.md", "load_policy").replace("seed=0", "seed=1"))
    assert capsys.readouterr().out.split(":")[0] != first.split(":")[0]


def test_features_in_document_are_those_of_the_code():
    generator, bars = np.random.default_rng(2), 400
    steps = generator.normal(0, 0.01, bars)
    close = 100 * np.exp(np.cumsum(steps))
    market = MarketData(
        timestamp=np.datetime64("2020-01-01T00:00:00", "s") + 5400 * np.arange(bars),
        open=close,
        high=close * 1.01,
        low=close * 0.98,
        close=close,
        volume=generator.uniform(1, 2, bars),
    )
    names, expected = feature_names(ENVIRONMENT.features), market_features(market, ENVIRONMENT.features)
    features: Callable[..., dict[str, float]] = run(program_in("data.md", "def features"))["features"]
    for bar in (103, 104, 250, 399):
        past = market[bar - 103 : bar + 1]
        seconds = int(market.timestamp[bar].astype(np.int64))
        found = features(past.open, past.high, past.low, past.close, past.volume, seconds)
        assert tuple(found) == names
        np.testing.assert_allclose(list(found.values()), expected[bar], rtol=1e-9, atol=1e-12)


def test_file_in_document_is_read_as_a_market(tmp_path):
    text = re.findall(r"```\n(date,.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)[0]
    (tmp_path / "prices.csv").write_text(text)
    market = load_file(MarketConfig(source="file", path="prices.csv"), tmp_path)
    assert [str(day)[:10] for day in market.timestamp] == ["2020-01-02", "2020-01-03", "2020-01-06"]
    assert market.close.tolist() == [3257.85, 3234.85, 3246.28]


def test_numbers_of_split_and_episodes_in_document_are_right():
    config = TrainingConfig()
    market = planted_market(MarketConfig(source="planted", bars=5000))
    training, later = split_market(market, config.market.train_fraction)
    assert later is not None
    statistics = FeatureStatistics.fit(training, config.environment)
    first = Observer(later, config.environment, statistics).first_bar
    assert (len(training), first, len(later) - 1 - first) == (4000, 103, 896)
    assert longest_window(config.environment.features) == 103
    assert config.total_timesteps == 262_144
    text = (ROOT / "docs" / "data.md").read_text()
    assert all(number in text for number in ("4,000", "gap 103", "896 decisions", "262,144", "2 x 256 x 512"))


def test_table_of_layouts_in_document_is_that_of_the_code():
    assert layout_table() in (ROOT / "docs" / "prices.md").read_text()


def test_settings_and_kinds_in_document_are_those_of_the_code():
    text = (ROOT / "docs" / "prices.md").read_text()
    assert [name for name in (*FILE_FIELDS, *WORDS) if f"`{name}`" not in text] == []


def test_kinds_of_alerts_in_document_are_those_of_the_code():
    text = (ROOT / "docs" / "monitoring" / "README.md").read_text()
    rows = re.findall(r"^\| (`[^|]*) \| (critical|warning|info) \|", text, re.MULTILINE)
    severities = {kind: severity for kinds, severity in rows for kind in re.findall(r"`(\w+)`", kinds)}
    assert severities == {str(kind): spec.severity for kind, spec in SPECS.items()}
