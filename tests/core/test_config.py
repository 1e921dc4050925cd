import pytest
from pydantic import ValidationError

from rl_training.core.config import SECTIONS, EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.config_problems import ConfigProblem, find_problems, format_problems
from rl_training.core.market_config import MarketConfig


def test_total_timesteps_count_bars_of_every_environment():
    config = TrainingConfig(
        episodes=3,
        environment=EnvironmentConfig(episode_length=100),
        ppo=PPOConfig(num_envs=8, rollout_length=64, minibatch_size=64),
    )
    assert config.total_timesteps == 2400


@pytest.mark.parametrize("value", [None, True, "1e3", "1", float("nan"), float("inf"), -1, 1.5, [], {}])
@pytest.mark.parametrize(
    ("config", "field"), [(PPOConfig, "epochs"), (PPOConfig, "clip_range"), (EnvironmentConfig, "fee")]
)
def test_value_that_is_no_number_in_range_is_refused(config, field, value):
    with pytest.raises(ValidationError) as error:
        config.model_validate({field: value})
    assert [problem.path for problem in find_problems(error.value)] == [field]


@pytest.mark.parametrize(
    ("config", "field"), [(PPOConfig, "epochs"), (PPOConfig, "num_envs"), (TrainingConfig, "episodes")]
)
@pytest.mark.parametrize("value", [0, 2**63])
def test_whole_number_out_of_range_is_refused(config, field, value):
    with pytest.raises(ValidationError) as error:
        config.model_validate({field: value})
    assert [problem.path for problem in find_problems(error.value)] == [field]


@pytest.mark.parametrize(
    ("field", "value"), [("gamma", 1.01), ("gamma", -0.1), ("gae_lambda", 1.01), ("clip_range", 0), ("clip_range", 1.1)]
)
def test_gamma_lambda_and_clip_keep_their_range(field, value):
    with pytest.raises(ValidationError) as error:
        PPOConfig.model_validate({field: value})
    assert [problem.path for problem in find_problems(error.value)] == [field]


def test_minibatch_larger_than_rollout_is_refused():
    with pytest.raises(ValidationError) as error:
        PPOConfig(num_envs=4, rollout_length=8, minibatch_size=33)
    assert dict(find_problems(error.value)) == {
        "minibatch_size": "33 is larger than the rollout, num_envs x rollout_length = 4 x 8 = 32"
    }


def test_unknown_role_of_a_column_is_reported_with_its_name():
    with pytest.raises(ValidationError) as error:
        TrainingConfig.model_validate({"market": {"columns": {"price": "Last"}}})
    assert [problem.path for problem in find_problems(error.value)] == ["market.columns.price"]


def test_rule_between_fields_is_reported_at_its_field():
    with pytest.raises(ValidationError) as error:
        TrainingConfig.model_validate({"ppo": {"num_envs": 1, "rollout_length": 1}, "market": {"source": "file"}})
    assert dict(find_problems(error.value)) == {
        "market.path": "required when source is file; name a file under MARKET_DATA_ROOT",
        "ppo.minibatch_size": "2048 is larger than the rollout, num_envs x rollout_length = 1 x 1 = 1",
    }


def test_all_problems_of_a_config_are_reported_at_once():
    wrong = {"source": "exchange", "train_fraction": 7, "timeframe": "1H", "bogus": 1}
    with pytest.raises(ValidationError) as error:
        TrainingConfig.model_validate({"market": wrong, "ppo": {"gamma": 2, "num_envs": 1, "hidden_sizes": [0]}})
    assert dict(find_problems(error.value)) == {
        "market.timeframe": "must be a number from 1 to 999 and s, m, h, d or w, such as 15m, 1h or 1d, got 1H",
        "market.train_fraction": "Input should be less than or equal to 1, got 7",
        "market.bogus": f"unknown; there are {', '.join(MarketConfig.model_fields)}",
        "market.exchange": "required when source is exchange; an id that ccxt knows, such as kraken",
        "market.symbol": "required when source is exchange; what is traded there, such as BTC/USD",
        "ppo.gamma": "Input should be less than or equal to 1, got 2",
        "ppo.hidden_sizes.0": "Input should be greater than or equal to 1, got 0",
        "ppo.minibatch_size": "2048 is larger than the rollout, num_envs x rollout_length = 1 x 32 = 32",
    }


def test_text_of_many_problems_names_the_first_and_counts_the_others():
    problems = [ConfigProblem(f"key{number}", "unknown") for number in range(1020)]
    first = "; ".join(f"key{number}: unknown" for number in range(20))
    assert format_problems(problems[:20]) == first
    assert format_problems(problems) == f"{first}; and 1,000 more"


def test_rule_is_not_checked_while_one_of_its_fields_is_refused():
    with pytest.raises(ValidationError) as error:
        PPOConfig.model_validate({"num_envs": "1", "minibatch_size": 9000})
    assert [problem.path for problem in find_problems(error.value)] == ["num_envs"]


@pytest.mark.parametrize("value", [None, [], "x", 5])
def test_config_that_is_no_object_is_refused(value):
    with pytest.raises(ValidationError):
        MarketConfig.model_validate(value)


def test_rollout_too_large_for_memory_is_refused():
    with pytest.raises(ValidationError) as error:
        PPOConfig(num_envs=65_536, rollout_length=1_000_000)
    assert [problem.path for problem in find_problems(error.value)] == ["rollout_length"]


def test_layer_too_wide_is_refused():
    with pytest.raises(ValidationError) as error:
        PPOConfig(hidden_sizes=[10**6])
    assert dict(find_problems(error.value)) == {
        "hidden_sizes.0": "Input should be less than or equal to 4096, got 1000000"
    }


def test_networks_too_large_for_memory_are_refused():
    with pytest.raises(ValidationError) as error:
        PPOConfig(hidden_sizes=[4096, 4096, 4096])
    assert [problem.path for problem in find_problems(error.value)] == ["hidden_sizes"]
    assert "67,108,864 weights" in dict(find_problems(error.value))["hidden_sizes"]


def test_unknown_key_is_refused():
    with pytest.raises(ValidationError) as error:
        PPOConfig.model_validate({"gama": 0.9})
    [problem] = find_problems(error.value)
    assert str(problem).startswith("gama: unknown; there are learning_rate, anneal_learning_rate, ")


def test_section_that_is_no_object_is_refused_without_a_class_name():
    with pytest.raises(ValidationError) as error:
        TrainingConfig.model_validate({"ppo": 1})
    assert [str(problem) for problem in find_problems(error.value)] == ["ppo: Input should be an object, got 1"]


def test_file_market_without_path_is_refused():
    with pytest.raises(ValidationError) as error:
        MarketConfig(source="file")
    assert dict(find_problems(error.value)) == {
        "path": "required when source is file; name a file under MARKET_DATA_ROOT"
    }


@pytest.mark.parametrize("path", ["a\x00b.csv", "a\x85b.csv", "a\u202eb.csv"])
def test_path_with_control_characters_is_refused(path):
    with pytest.raises(ValidationError) as error:
        MarketConfig(source="file", path=path)
    assert [problem.path for problem in find_problems(error.value)] == ["path"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            {"timeframe": "1H"},
            "must be a number from 1 to 999 and s, m, h, d or w, such as 15m, 1h or 1d, got 1H",
        ),
        ({"timeframe": "1h\n"}, "must be a number from 1 to 999 and s, m, h, d or w, such as 15m, 1h or 1d, got 1h\n"),
        ({"exchange": "Kraken"}, "must be lower-case letters, digits and underscores, such as kraken, got Kraken"),
        (
            {"symbol": "BTC\tUSD"},
            "must be a name without line breaks and other control characters, such as BTC/USD, got BTC\tUSD",
        ),
        (
            {"path": "a\tb"},
            "must be a file name without line breaks and other control characters, such as prices.csv, got a\tb",
        ),
    ],
)
def test_text_of_wrong_form_is_refused_in_words(setting, message):
    with pytest.raises(ValidationError) as error:
        MarketConfig.model_validate(setting)
    assert [problem.message for problem in find_problems(error.value)] == [message]


@pytest.mark.parametrize("config", [*SECTIONS.values()])
def test_no_message_of_a_config_shows_a_regular_expression(config):
    for name in config.model_fields:
        with pytest.raises(ValidationError) as error:
            config.model_validate({name: " \0"})
        assert all("^" not in problem.message for problem in find_problems(error.value))


def test_schema_of_a_config_has_the_pattern():
    assert MarketConfig.model_json_schema()["properties"]["timeframe"]["pattern"] == "^[1-9][0-9]{0,2}[smhdw]$"


def test_config_is_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        PPOConfig().gamma = 0.5  # type: ignore[misc]
