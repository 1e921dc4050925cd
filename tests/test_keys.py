import pytest

from rl_training import keys
from rl_training.core.config import PPOConfig
from rl_training.models import PolicyStore
from tests.stored import store_raw

pytestmark = pytest.mark.django_db


def test_every_setting_has_a_key(policy):
    found = dict(keys.settings_of(policy))
    assert found["rl_v3.training.enabled"] is True
    assert found["rl_v3.training.interval_minutes"] == 60
    assert found["rl_v3.training.episodes_per_run"] == 2
    assert found["rl_v3.market.source"] == "sp500"
    assert found["rl_v3.ppo.gamma"] == 0.99


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("rl_v3.training.enabled", "false", False),
        ("rl_v3.training.interval_minutes", "5", 5),
        ("rl_v3.ppo.gamma", "1", 1.0),
        ("rl_v3.ppo.hidden_sizes", "[32, 32]", [32, 32]),
        ("rl_v3.market.source", "nasdaq", "nasdaq"),
    ],
)
def test_value_read_is_value_set(policy, key, text, value):
    keys.set_values({key: text})
    assert keys.get(key) == value


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("rl_v3.training.interval_minutes", "0", "Must be a whole number from 1 to 527,040, got 0."),
        ("rl_v3.training.interval_minutes", "527041", "Must be a whole number from 1 to 527,040"),
        ("rl_v3.training.interval_minutes", "1e3", "Must be a whole number from 1 to 527,040, got 1000.0."),
        ("rl_v3.training.interval_minutes", "true", "Must be a whole number"),
        ("rl_v3.training.interval_minutes", "9223372036854775808", "Must be a whole number from 1 to 527,040"),
        ("rl_v3.training.enabled", "1", "Must be true or false, got 1."),
        ("rl_v3.training.enabled", '"true"', 'Must be true or false, got "true".'),
        ("rl_v3.training.episodes_per_run", "-1", "Must be a whole number from 1"),
        ("rl_v3.ppo.hidden_sizes", "[" * 100_000, "nested too deeply"),
        ("rl_v3.market.columns", '{"close": "A", "close": "B"}', "columns: close: given more than once"),
        ("rl_v3.market.path", "bars\udcff.csv", "text that no encoding can hold"),
        ("rl\udcff.ppo.gamma", "0.9", r"unknown policy 'rl\udcff'"),
        ("rl_v3.ppo.gamma", "1.5", "gamma: Input should be less than or equal to 1, got 1.5"),
        ("rl_v3.ppo.gamma", "NaN", "gamma: Input should be a finite number"),
        ("rl_v3.ppo.gamma", "true", "gamma: Input should be a valid number"),
        ("rl_v3.ppo.gamma", "null", "gamma: Input should be a valid number"),
        ("rl_v3.ppo.hidden_sizes", "[1000000]", "less than or equal to 4096"),
        ("rl_v3.ppo.minibatch_size", "50000", "50000 is larger than the rollout"),
        ("rl_v3.market.source", "moon", "Input should be 'sp500'"),
        ("rl_v3.market.source", "file", "path: required when source is file"),
        ("rl_v3.ppo.discount", "1", "fields of ppo: learning_rate"),
        ("rl_v3.nothing.x", "1", "sections: training, market, environment, ppo"),
        ("rl_v4.training.enabled", "true", "known policies: rl_v3"),
        ("rl_v3", "1", "a key is <policy>.<section>.<field>"),
    ],
)
def test_refused_value_changes_nothing(policy, key, text, message):
    before = PolicyStore.objects.values().get()
    with pytest.raises(keys.SettingError) as error:
        keys.set_values({key: text})
    assert message in str(error.value)
    assert PolicyStore.objects.values().get() == before


def test_invalid_stored_value_is_read_and_repaired(policy):
    store_raw(policy, "ppo", {"gamma": 7})
    assert dict(keys.settings_of(keys.find_policy("rl_v3")))["rl_v3.ppo.gamma"] == 7
    with pytest.raises(keys.SettingError, match="gamma"):
        keys.set_values({"rl_v3.training.interval_minutes": "5"})
    keys.set_values({"rl_v3.ppo.gamma": "0.9"})
    assert (keys.get("rl_v3.ppo.gamma"), keys.get("rl_v3.training.interval_minutes")) == (0.9, 60)


def test_invalid_section_is_repaired_field_by_field(policy):
    store_raw(policy, "ppo", {"gamma": 7, "clip_range": -1, "gama": 1})
    keys.set_values({"rl_v3.ppo.gamma": "0.9"})
    with pytest.raises(keys.SettingError, match="clip_range: Input should be greater than 0, got -2"):
        keys.set_values({"rl_v3.ppo.clip_range": "-2"})
    with pytest.raises(keys.SettingError, match="epochs: Input should be greater than or equal to 1"):
        keys.set_values({"rl_v3.ppo.epochs": "0"})
    keys.set_values({"rl_v3.ppo.clip_range": "0.1"})
    assert PolicyStore.objects.get().ppo == PPOConfig(gamma=0.9, clip_range=0.1)


def test_invalid_sections_are_repaired_one_after_another(policy):
    store_raw(policy, "ppo", {"gamma": 7})
    store_raw(policy, "market", [])
    keys.set_values({"rl_v3.ppo.gamma": "0.9"})
    keys.set_values({"rl_v3.market.source": "nasdaq"})
    assert PolicyStore.objects.get().config_problems == []
