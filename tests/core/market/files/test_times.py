"""Times: recognised forms, refusals because two readings fit, and the effect of each setting."""

import pytest

from tests.core.market.price_files import HEADER, refusal

NAMES = "date,open,high,low,close\n"


def days(*dates):
    return NAMES + "".join(f"{day},10,12,9,{10 + number % 2},\n"[:-2] + "\n" for number, day in enumerate(dates))


def times(market):
    return market.timestamp.astype(str).tolist()


def test_ambiguous_dates_are_refused_until_day_first_is_set(load):
    text = days("1/2/2024", "2/2/2024", "3/2/2024")
    assert refusal(load, text) == (
        "m.csv: its first dates '1/2/2024', '2/2/2024', '3/2/2024' are 2024-02-01, 2024-02-02, 2024-02-03 with the day "
        "first, or 2024-01-02, 2024-02-02, 2024-03-02 with the month first, and no date of the file settles it: set "
        "day_first to yes or no"
    )
    assert times(load(text, day_first="yes"))[0] == "2024-02-01T00:00:00"
    assert times(load(text, day_first="no"))[0] == "2024-01-02T00:00:00"


def test_dates_with_a_possible_two_digit_year_first_need_a_clear_date(load):
    assert refusal(load, days("24/01/03", "24/01/04")) == (
        "m.csv: its first dates '24/01/03', '24/01/04' are 2003-01-24, 2004-01-24 with the day first, or 2024-01-03, "
        "2024-01-04 with the year first, and no date of the file settles it: set day_first to yes, or write years with "
        "four digits"
    )
    assert times(load(days("24-01-03", "24-01-04"), day_first="yes"))[0] == "2003-01-24T00:00:00"
    assert times(load(days("99-12-30", "24-01-31")))[0] == "1999-12-30T00:00:00"
    assert times(load(days("24/01/03", "31/01/03")))[0] == "2003-01-24T00:00:00"
    assert times(load(days("01/02/24 10:00", "01/13/24 10:00")))[0] == "2024-01-02T10:00:00"
    assert refusal(load, days("99-12-30"), day_first="no").endswith("begin with the year; set day_first to auto")


def test_named_month_between_two_numbers_needs_a_clear_date(load):
    text = days("24-Jan-03", "24-Jan-04")
    assert refusal(load, text) == (
        "m.csv: its first dates '24-Jan-03', '24-Jan-04' are 2003-01-24, 2004-01-24 with the day first, or 2024-01-03, "
        "2024-01-04 with the year first, and no date of the file settles it: set day_first to yes or no, or write "
        "years with four digits"
    )
    assert times(load(text, day_first="yes"))[0] == "2003-01-24T00:00:00"
    assert times(load(text, day_first="no"))[0] == "2024-01-03T00:00:00"
    assert times(load(days("24-Jan-03", "24-Jan-31")))[1] == "2024-01-31T00:00:00"
    assert times(load(days("24 January 03 10:30", "31 Jan. 03 10:30"), day_first="no"))[0] == "2003-01-24T10:30:00"
    assert times(load(days("24-Jan-2003")))[0] == "2003-01-24T00:00:00"


def test_dates_that_do_not_exist_are_refused(load):
    assert "row 1 (header not counted): timestamp '0/0/2024' is not a date" in refusal(load, days("0/0/2024"))


def test_date_far_below_settles_the_order_of_all(load):
    minutes = [f"{1 + number // 1440}/1/2024 {number // 60 % 24:02}:{number % 60:02}" for number in range(20_000)]
    market = load(days(*minutes))
    assert times(market)[::1440][-1] == "2024-01-14T00:00:00"


def test_dates_of_no_order_are_refused(load):
    assert refusal(load, days("13/1/2024", "1/13/2024")).startswith(
        "m.csv: its dates, such as '13/1/2024', have numbers above 12 as day and as month"
    )


def test_repeated_hour_of_daylight_saving_is_read_in_row_order(load):
    local = ["2024-11-03 00:30", "2024-11-03 01:30", "2024-11-03 01:30", "2024-11-03 02:30"]
    expected = ["2024-11-03T04:30:00", "2024-11-03T05:30:00", "2024-11-03T06:30:00", "2024-11-03T07:30:00"]
    assert times(load(days(*local), timezone="America/New_York")) == expected
    assert times(load(days(*reversed(local)), timezone="America/New_York")) == expected


@pytest.mark.parametrize(
    ("local", "message"),
    [
        (
            "2024-11-03 01:30",
            "2024-11-03 01:30:00 occurs twice in America/New_York, in the hour that the end of daylight",
        ),
        ("2024-03-10 02:30", "2024-03-10 02:30:00 does not exist in America/New_York, where clocks skip this hour"),
    ],
)
def test_local_time_of_a_changed_clock_is_refused_with_its_row(load, local, message):
    text = days("2024-03-01 12:00", local, "2024-12-01 12:00")
    assert refusal(load, text, timezone="America/New_York").startswith(f"m.csv, row 2 (header not counted): {message}")


@pytest.mark.parametrize(
    ("header", "hour"),
    [
        ("Time (UTC)", 12),
        ("Gmt time", 12),
        ("time_utc", 12),
        ("Date (UTC-5)", 17),
        ("Date/Time [GMT+05:00]", 7),
        ("Time (America/New_York)", 17),
    ],
)
def test_zone_that_the_header_names_is_that_of_the_times(load, header, hour):
    text = f"{header},open,high,low,close\n2024-01-01 12:00,10,12,9,11\n2024-01-02 12:00,10,12,9,10\n"
    assert times(load(text))[0] == f"2024-01-01T{hour:02}:00:00"
    assert times(load(text, timezone="Etc/GMT-2"))[0] == "2024-01-01T10:00:00"
    assert times(load(text.replace(" 12:00", "")))[0] == "2024-01-01T00:00:00"


@pytest.mark.parametrize(
    "header", ["Time (EET)", "Local time", "timestamp_est", "Date,TZ", "Date ET", "Time (UTC+5:30)"]
)
def test_unclear_zone_in_the_header_is_refused_until_set(load, header):
    cell = ",CET" if "TZ" in header else ""
    text = f"{header},open,high,low,close\n2024-01-01 12:00{cell},10,12,9,11\n2024-01-02 12:00{cell},10,12,9,10\n"
    assert refusal(load, text).endswith(
        " for the zone of its times, which is neither a city nor a number of whole hours from UTC: set timezone, such "
        "as America/New_York, Europe/Helsinki or Etc/GMT+5"
    )
    assert times(load(text, timezone="Europe/Helsinki"))[0] == "2024-01-01T10:00:00"


@pytest.mark.parametrize(
    "time",
    ["2024-01-01 12:00:00 Z", "2024-01-01T07:00:00-05:00[America/New_York]", "2024-01-01T07:00[America/New_York]"],
)
def test_zone_at_the_end_of_a_time_is_used(load, time):
    assert times(load(days(time, time.replace("01-01", "07-01"))))[0] == "2024-01-01T12:00:00"


def test_letters_of_a_zone_at_the_end_of_times_need_the_setting(load):
    text = days("2024-01-01 07:00 EST", "2024-07-01 08:00 EDT")
    assert "the file has 'EST' for the zone of its times" in refusal(load, text)
    assert times(load(text, timezone="America/New_York")) == ["2024-01-01T12:00:00", "2024-07-01T12:00:00"]


def test_mixed_offsets_and_mixed_epoch_units_give_correct_times(load):
    assert times(load(days("2024-01-01 12:00+01:00", "2024-01-01 12:00Z"))) == [
        "2024-01-01T11:00:00",
        "2024-01-01T12:00:00",
    ]
    assert times(load(days("1735686000000", "1735689600000000"))) == ["2024-12-31T23:00:00", "2025-01-01T00:00:00"]


def clocks(*rows):
    bars = (f"{day},{time},10,12,9,{10 + number % 2}\n" for number, (day, time) in enumerate(rows))
    return "date,time,open,high,low,close\n" + "".join(bars)


def test_times_of_digits_are_read_alike_in_all_of_a_file(load):
    # The first block of the file holds no time of more than four digits.
    bars = clocks(*[("20240102", "5")] * 200_000, ("20240102", "930"), ("20240102", "93000")).splitlines(keepends=True)
    bars[1:200_001] = [bars[1]] * 200_000
    market = load("".join(bars))
    assert times(market) == ["2024-01-02T00:00:05", "2024-01-02T00:09:30", "2024-01-02T09:30:00"]


def test_times_of_few_digits_are_refused_if_both_readings_fit(load):
    day = "20240102"
    assert refusal(load, clocks((day, "0"), (day, "100"), (day, "200"))).startswith(
        "m.csv: its first times '0', '100', '200' are 00:00, 01:00, 02:00 or 00:00:00, 00:01:00, 00:02:00, and no time "
        "of the file settles it: write them with their leading zeros"
    )
    assert times(load(clocks((day, "0"), (day, "100"), ("20240103", "0"))))[1] == "2024-01-02T01:00:00"
    assert times(load(clocks((day, "0"), (day, "5900"))))[1] == "2024-01-02T00:59:00"
    assert times(load(clocks((day, "0000"), (day, "0930"))))[1] == "2024-01-02T09:30:00"
    assert times(load(clocks((day, "930"), (day, "101500"))))[0] == "2024-01-02T00:09:30"


@pytest.mark.parametrize("epoch", ["1.70{day}E+12", "1.70{day}e+09", "1.7093{day}e+18"])
def test_epochs_that_have_lost_their_last_digits_are_refused(load, epoch):
    rows = [f"{epoch.format(day=day)},10,12,9,{10 + day % 2},5\n" for day in range(11, 20)]
    assert "have lost their last digits" in refusal(load, HEADER + "".join(rows))


def test_epochs_with_an_exponent_and_all_their_digits_are_read(load):
    rows = [f"{day * 86_400_000:.12e},10,12,9,{10 + day % 2},5\n" for day in (19724, 19725, 19726)]
    assert str(load(HEADER + "".join(rows)).timestamp[1]) == "2024-01-03T00:00:00"
