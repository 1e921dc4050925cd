"""The start of the next run, which users see before they save settings."""

import pytest

from rl_training.models import TrainingRun
from rl_training.runs.next_start import next_start
from tests.stored import store_raw, version_to_continue

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(policy):
    return version_to_continue(policy)


def changed(policy, section, **fields):
    setattr(policy, section, getattr(policy, section).model_copy(update=fields))
    return next_start(policy)


def test_policy_without_a_version_has_no_known_start(policy):
    assert next_start(policy) is None


def test_unchanged_settings_continue_from_the_newest_version(policy, version):
    assert str(next_start(policy)) == "The next run continues from version 3."


@pytest.mark.parametrize(
    ("section", "fields"),
    [
        ("environment", {"features": ["macd"]}),
        ("environment", {"positions": [0.0, 1.0]}),
        ("ppo", {"hidden_sizes": [32]}),
        ("ppo", {"normalize_observations": True}),
        ("ppo", {"normalize_rewards": False}),
    ],
)
def test_changed_setting_of_the_network_starts_from_scratch(policy, version, section, fields):
    [name] = fields
    assert str(changed(policy, section, **fields)) == (
        f"The next run starts from scratch and does not use the weights of version 3: {name} changed."
    )


@pytest.mark.parametrize("fields", [{"gamma": 0.5}, {"learning_rate": 0.1}, {"epochs": 1}])
def test_changed_setting_of_the_training_keeps_the_weights(policy, version, fields):
    assert not changed(policy, "ppo", **fields).from_scratch


def test_several_reasons_are_all_named(policy, version):
    changed(policy, "environment", features=["macd"], positions=[0.0, 1.0])
    assert "version 3: features changed, positions changed and hidden_sizes changed." in str(
        changed(policy, "ppo", hidden_sizes=[8])
    )


def test_lower_train_fraction_starts_from_scratch(policy, version):
    assert "train_fraction is lower" in str(changed(policy, "market", train_fraction=0.7))
    assert not changed(policy, "market", train_fraction=0.9).from_scratch


def test_fraction_that_moves_no_bar_keeps_the_weights(policy, version):
    TrainingRun.objects.update(market_summary={"bars": 11})
    assert not changed(policy, "market", train_fraction=0.75).from_scratch
    assert changed(policy, "market", train_fraction=0.7).from_scratch


def test_new_market_continues_and_names_both_markets(policy, version):
    start = changed(policy, "market", source="nasdaq")
    assert not start.from_scratch
    assert "continues from version 3, which was trained on sp500, on nasdaq." in str(start)


def test_new_instrument_and_new_seed_are_new_markets_with_own_names(policy, version):
    file = {"source": "file", "path": "multi.csv", "symbol": "AAPL"}
    TrainingRun.objects.update(config={**version.run.config, "market": file})
    assert "was trained on multi.csv AAPL, on multi.csv MSFT." in str(
        changed(policy, "market", **file | {"symbol": "MSFT"})
    )
    assert "was trained on multi.csv AAPL, on multi.csv AAPL with other settings." in str(
        changed(policy, "market", **file | {"timezone": "Europe/Paris"})
    )


def test_policy_with_invalid_settings_has_no_known_start(policy, version):
    store_raw(policy, "ppo", {"gamma": 7})
    policy.refresh_from_db()
    assert next_start(policy) is None
