import json

import pytest
from django.core.exceptions import ValidationError

from rl_training.admin.config_field import ConfigField, form_schema
from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.market_config import MarketConfig


@pytest.mark.parametrize(
    ("config", "text", "message"),
    [
        (
            PPOConfig,
            '{"learning_rate": "1e3"}',
            "learning_rate: Input should be a valid number, got 1e3 (Learning rate of Adam",
        ),
        (PPOConfig, '{"epochs": true}', "epochs: Input should be a valid integer, got True"),
        (PPOConfig, '{"epochs": null}', "epochs: Input should be a valid integer, got None"),
        (PPOConfig, '{"epochs": 9223372036854775808}', "epochs: Input should be less than or equal to 100"),
        (PPOConfig, '{"gamma": NaN}', "Not valid JSON: NaN is not a JSON number"),
        (PPOConfig, '{"gamma": -Infinity}', "Not valid JSON: -Infinity is not a JSON number"),
        (PPOConfig, '{"gamma": 1e400}', "gamma: Input should be a finite number"),
        (PPOConfig, '{"gamma": 0.5, "gamma": 0.6}', "Not valid JSON: gamma: given more than once"),
        (PPOConfig, '{"hidden_sizes": [1000000]}', "hidden_sizes.0: Input should be less than or equal to 4096"),
        (PPOConfig, '{"minibatch_size": 50000}', "minibatch_size: 50000 is larger than the rollout"),
        (PPOConfig, '{"discount": 1}', "discount: unknown; there are learning_rate, "),
        (PPOConfig, "{", "Not valid JSON: "),
        (PPOConfig, "[]", "Must be a JSON object with the settings."),
        (PPOConfig, "null", "Must be a JSON object with the settings."),
        (PPOConfig, " ", "Required: a JSON object with the settings."),
        (PPOConfig, None, "Required: a JSON object with the settings."),
        (PPOConfig, "[" * 50_000, "Nested too deeply"),
        (PPOConfig, '{"gamma": ' + "1" * 5000 + "}", "Not valid JSON: "),
        (PPOConfig, " " * 70_000 + "{}", "70,002 characters; at most 64,000 are taken."),
        (MarketConfig, '{"source": "file"}', "path: required when source is file"),
        (MarketConfig, '{"source": "nyse"}', "source: Input should be 'sp500', 'nasdaq'"),
        (MarketConfig, '{"path": "a\\u0000b"}', "path: "),
        (MarketConfig, '{"path": "\\ud800"}', "Text that no encoding can hold"),
        (EnvironmentConfig, '{"positions": [0, 0]}', "positions: each value may be listed once"),
    ],
)
def test_invalid_json_is_refused_with_reason(config, text, message):
    field = ConfigField(config)
    with pytest.raises(ValidationError) as refused:
        field.clean(text)
    assert refused.value.messages[0].startswith(message)
    assert "pydantic" not in str(refused.value.messages)


def test_unparseable_value_is_shown_as_default():
    assert json.loads(ConfigField(PPOConfig).prepare_value("[[[")) == PPOConfig().model_dump(mode="json")


@pytest.mark.parametrize("config", [MarketConfig, EnvironmentConfig, PPOConfig])
def test_every_setting_has_known_type_and_help_text(config):
    for setting in form_schema(config)["properties"].values():
        assert setting["type"] in {"string", "number", "integer", "boolean", "array", "object"}
        assert setting.get("help_text") or setting.get("description") or setting["items"]["help_text"]
