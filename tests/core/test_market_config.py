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


def test_labels_name_the_instrument_of_a_file_and_the_planted_seed():
    aapl, msft = (MarketConfig(source="file", path="multi.csv", symbol=symbol) for symbol in ("AAPL", "MSFT"))
    assert (aapl.label, msft.label, aapl.ledger_label) == ("multi.csv AAPL", "multi.csv MSFT", "multi.csv")
    assert MarketConfig(source="planted", planted_seed=7).label == "synthetic: AR(1) phi=0.2, seed 7"
    assert msft.label_beside(aapl) == "multi.csv MSFT"
    shifted = aapl.model_copy(update={"timezone": "Europe/Paris"})
    assert shifted.label_beside(aapl) == "multi.csv AAPL with other settings"


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
        ({"symbol": 7203}, 'Input should be a valid string, got 7203; write "7203", in quotes'),
        ({"columns": {"open": ""}}, "String should have at least 1 character"),
        ({"columns": {"first": "x"}}, "Input should be 'timestamp', 'time', 'open'"),
    ],
)
def test_invalid_setting_of_reading_is_refused(setting, message):
    with pytest.raises(ValidationError) as error:
        MarketConfig.model_validate(setting)
    [problem] = find_problems(error.value)
    assert problem.message.startswith(message)
