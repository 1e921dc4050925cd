import pytest
from pydantic import ValidationError

from rl_training.core.config_problems import find_problems
from rl_training.core.market_config import READING_FIELDS, MarketConfig

STORED = MarketConfig(source="file", path="m.csv", symbol="BTC/USD").model_dump()


def test_file_stored_before_the_settings_of_reading_keeps_its_meaning():
    stored = {name: value for name, value in STORED.items() if name not in READING_FIELDS}
    market = MarketConfig.model_validate(stored)
    assert (market.format, market.adjust, market.suspicious, market.bad_rows) == ("plain", "none", "warn", "refuse")
    assert market.label == "m.csv"
    index = MarketConfig.model_validate(stored | {"source": "sp500"})
    assert (index.format, index.adjust, index.suspicious) == ("auto", "auto", "refuse")


def test_new_file_is_recognised_adjusted_and_refused_if_suspicious():
    market = MarketConfig(source="file", path="m.csv")
    assert (market.format, market.adjust, market.suspicious, market.bad_rows) == ("auto", "auto", "refuse", "refuse")
    assert MarketConfig.model_validate(market.model_dump()) == market


def test_column_may_be_an_index_and_day_first_a_boolean():
    market = MarketConfig.model_validate({"columns": {"close": 4, "open": "Kurs"}, "day_first": True})
    assert (market.columns, market.day_first) == ({"close": "4", "open": "Kurs"}, "yes")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"format": "excel"}, "must be one of auto, plain, binance_klines, "),
        (
            {"timezone": "Mars/Olympus"},
            "must be the name of a time zone in the IANA database, such as America/New_York",
        ),
        ({"timezone": "../../etc/passwd"}, "must be the name of a time zone in the IANA database"),
        ({"timezone": "Europe"}, "must be the name of a time zone in the IANA database"),
        ({"decimal": ";"}, "Input should be 'auto', '.' or ','"),
        ({"skip_rows": -1}, "Input should be greater than or equal to 0"),
        ({"columns": {"open": ""}}, "String should have at least 1 character"),
        ({"columns": {"first": "x"}}, "Input should be 'timestamp', 'time', 'open'"),
    ],
)
def test_invalid_setting_of_reading_is_refused(setting, message):
    with pytest.raises(ValidationError) as error:
        MarketConfig.model_validate(setting)
    [problem] = find_problems(error.value)
    assert problem.message.startswith(message)
