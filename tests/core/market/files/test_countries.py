"""Text, numbers and dates as programs of many countries write them."""

import pytest

from tests.core.market.price_files import HEADER, refusal

RUSSIAN = "Дата;Открытие;Максимум;Минимум;Закрытие;Объём\n"
DAY = "2024-08-01;10;12;9;11;5\n"
NAMES = "Date,Open,High,Low,Close\n"


@pytest.mark.parametrize(
    ("encoding", "name", "header"),
    [
        ("cp1250", "Windows-1250", "Data;Otwarcie;Najwyższy;Najniższy;Zamknięcie;Wolumen\n"),
        ("cp1251", "Windows-1251", RUSSIAN),
        ("cp1252", "Windows-1252", "Datum;Eröffnung;Hoch;Tief;Schluss;Stück\n"),
        ("cp1254", "Windows-1254", "Tarih;Açılış;Yüksek;Düşük;Kapanış;Hacim\n"),  # noqa: RUF001
        ("gbk", "GB18030", "日期;开盘价;最高价;最低价;收盘价;成交量\n"),
        ("big5", "Big5", "日期;開盤價;最高價;最低價;收盤價;成交股數\n"),
        ("cp932", "Shift JIS", "日付;始値;高値;安値;終値;出来高\n"),
        ("cp949", "EUC-KR", "날짜;시가;고가;저가;종가;거래량\n"),
    ],
)
def test_encoding_is_the_one_in_which_the_names_are_known(load, encoding, name, header):
    market = load((header + DAY).encode(encoding))
    bar = tuple(float(getattr(market, field)[0]) for field in ("open", "high", "low", "close", "volume"))
    assert (bar, market.reading.notes) == ((10.0, 12.0, 9.0, 11.0, 5.0), (f"the text is read as {name}",))


def test_instrument_in_another_encoding_is_chosen_by_its_name(load):
    header = RUSSIAN.replace("Дата", "Дата;Ticker")
    rows = "2024-08-01;Сбер;10;12;9;11;5\n2024-08-01;Лук;20;22;19;21;5\n"  # noqa: RUF001
    assert load((header + rows).encode("cp1251"), symbol="Лук").close[0] == 21.0


def test_bytes_of_no_known_encoding_are_refused(load):
    assert "is not text in UTF-8" in refusal(load, (NAMES + "2024-08-01,10,12,9,11\n").encode() + b"\x81\x8d\xff\n")


@pytest.mark.parametrize("price", ["110'16", "110\u201916.5", "110'1650", "110 16"])
def test_fractions_are_no_thousands(load, price):
    assert "is not a number" in refusal(load, f"{NAMES}2024-08-01,{price},112,109,111\n")


def test_thousands_or_32nds_are_refused_until_decimal_is_set(load):
    text = f"{NAMES}2024-08-01,110'165,110'225,110'105,110'200\n2024-08-02,110'175,110'200,110'105,110'180\n"
    assert "have thousands, or 32nds and parts of them" in refusal(load, text)
    assert load(text, decimal=".").open[0] == 110165.0
    assert load(text.replace("105", "108")).low[0] == 110108.0


@pytest.mark.parametrize("date", ["2024年8月1日", "2024年08月01日", "2024- 08- 01", "2024. 8. 1.", "2024.08.01."])
def test_dates_of_asia_and_hungary_are_read(load, date):
    rows = f"{date},10,12,9,11,5\n" + f"{date} 09:30,10,12,9,10,5\n"
    assert [str(time) for time in load(HEADER + rows).timestamp] == ["2024-08-01T00:00:00", "2024-08-01T09:30:00"]


def test_two_columns_of_times_without_known_names_are_refused(load):
    text = "Ende,Anfang,Open,High,Low,Close\n2024-08-01 10:00,2024-08-01 09:00,10,12,9,11\n"
    message = "2 columns hold times, 'Ende', 'Anfang': name the one that says when a bar begins, as in columns: "
    assert message in refusal(load, text)
    assert str(load(text, columns={"timestamp": "Anfang"}).timestamp[0]) == "2024-08-01T09:00:00"


def test_columns_below_a_header_with_line_breaks_are_named_by_index(load):
    text = "Date\tOpen\tHigh\tLow\tClose\nof splits\tAdj Close\nof all\tVolume\n2024-08-01\t10\t12\t9\t11\t11\t5\n"
    assert "leave out what is above the prices with skip_rows" in refusal(load, text)
    by_index = {"timestamp": "0", "open": "1", "high": "2", "low": "3", "close": "4", "volume": "6"}
    assert load(text, skip_rows=3, columns=by_index).volume[0] == 5.0


def test_volume_under_an_unknown_name_is_noted(load):
    text = "Date,Open,High,Low,Close,Contracts\n2024-08-01,10,12,9,11,5\n"
    notes = "no column is read as volume; if an unused column holds it, name it with the setting columns"
    assert load(text).reading.notes == (notes,)
    assert load(text, columns={"volume": "Contracts"}).volume[0] == 5.0
