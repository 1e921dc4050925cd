"""The commands that check and fetch markets."""

import json
from functools import partial

import pytest
from django.core.management import CommandError, call_command

from rl_training.core.market.exchange import load_exchange
from rl_training.management.commands import market_check, market_fetch
from tests.core.market.price_files import HEADER, ROWS
from tests.exchange_server import HOUR, NEWEST, exchange_server

pytestmark = pytest.mark.django_db
HOURLY = [f"2020-01-{1 + hour // 24:02} {hour % 24:02}:00:00,10,12,9,{10 + hour % 2},5\n" for hour in range(48)]
TICK = HEADER + "".join(HOURLY[:20]) + HOURLY[20].replace("10,12,9,10", "10,9000,9,9000") + "".join(HOURLY[21:])
NAME = "name: 'none.csv'\n"


@pytest.fixture
def root(tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path
    return tmp_path


@pytest.fixture
def check(capsys):
    """Return a function that runs the check and returns its exit status and its output."""

    def check(*arguments):
        try:
            call_command("market_check", *arguments)
        except SystemExit as status:
            return status.code, capsys.readouterr().out
        return 0, capsys.readouterr().out

    return check


def test_usable_file_is_described(root, check):
    (root / "m.csv").write_text(
        HEADER.replace("volume", "volume,funding") + "".join(f"{row[:-1]},1\n" for row in HOURLY)
    )
    status, text = check("m.csv")
    assert (status, text.splitlines()[0]) == (0, "Usable, without suspicions.")
    for line in ("bars: 48", "spacing seconds: 3600", "gaps: 0", "unused: 'funding'", "zone: 'taken as UTC'"):
        assert line in text.splitlines()
    assert "first bars: 2020-01-01T00:00:00, 10.0, 12.0, 9.0, 10.0, 5.0" in text


def test_market_of_a_policy_with_too_few_bars_for_its_runs_has_status_1(root, check, policy):
    (root / "m.csv").write_text(HEADER + "".join(HOURLY))
    policy.market = policy.market.model_copy(update={"source": "file", "path": "m.csv"})
    policy.save()
    status, text = check(policy.name)
    assert status == 1
    assert text.startswith("Not usable: market: 38 of the 48 bars are to train on, but at least ")
    assert "bars: 48" in text.splitlines()
    assert json.loads(check(policy.name, "--json")[1])["usable"] is False


def test_file_is_checked_without_a_database(root, check, django_assert_num_queries):
    (root / "m.csv").write_text(HEADER + "".join(HOURLY))
    with django_assert_num_queries(0):
        assert check("m.csv")[0] == 0


def test_refused_file_is_described_with_its_suspicions_and_status_1(root, check):
    (root / "m.csv").write_text(TICK)
    status, text = check("m.csv", "--json")
    found = json.loads(text)
    assert (status, found["usable"], found["bars"], found["layout"]) == (1, False, 48, "by_name")
    assert found["problem"].startswith("m.csv: 2020-01-01T20:00:00: high 9000 between closes of 11 and 11")
    assert found["suspicions"]["bad_tick"]["count"] == 1
    status, text = check("m.csv", "bad_rows=drop")
    assert (status, "drops: bad ticks dropped 1" in text) == (0, True)


def test_settings_follow_the_file_on_the_command_line(root, capsys):
    (root / "m.csv").write_text(TICK)
    market_check.Command().run_from_argv(["manage.py", "market_check", "m.csv", "bad_rows=drop", "timezone=Etc/GMT-2"])
    text = capsys.readouterr().out
    assert "drops: bad ticks dropped 1" in text
    assert "zone: 'Etc/GMT-2, the setting timezone'" in text


def test_file_that_cannot_be_read_has_status_1(root, check):
    assert check("none.csv") == (
        1,
        f"Not usable: none.csv: there is no such file under MARKET_DATA_ROOT, {root}\n" + NAME,
    )


def test_file_outside_the_folder_is_checked_by_its_path(root, check, tmp_path_factory):
    path = tmp_path_factory.mktemp("outside") / "m.csv"
    path.write_text(HEADER + "".join(ROWS))
    assert check(str(path))[0] == 0


def test_market_of_a_policy_is_checked(policy, check):
    status, text = check("rl_v3", "--json")
    assert (status, json.loads(text)["bars"], json.loads(text)["gaps"]) == (0, 5031, 8)


def test_invalid_setting_is_refused(root):
    for text, message in (("decimal=;", "decimal: Input should be"), ("source=file", "is not SETTING=VALUE")):
        with pytest.raises(CommandError, match=message):
            call_command("market_check", "m.csv", text)


@pytest.mark.parametrize("command", ["market_check", "market_replay"])
@pytest.mark.parametrize("file", ["", "\udcff.csv", "a\x1b.csv"])
def test_text_that_names_no_file_is_refused(root, command, file):
    with pytest.raises(CommandError, match="^path: ") as error:
        call_command(command, file)
    assert error.value.returncode == 2


@pytest.mark.parametrize(
    ("option", "number", "message"),
    [
        ("--history", "10000", "^--history must be 1 to 9,999: planted has one bar more$"),
        ("--history", "0", "argument --history: '0' is not a whole number from 1 to "),
        ("--bars", "-1", "argument --bars: '-1' is not a whole number from 0 to "),
    ],
)
def test_replay_of_an_impossible_number_of_bars_is_refused(root, option, number, message):
    with pytest.raises(CommandError, match=message) as error:
        call_command("market_replay", "planted", f"{option}={number}")
    # Called in this process, argparse's errors have Django's status 1; in a shell they end with 2.
    assert error.value.returncode == (1 if "argument" in message else 2)
    assert list(root.iterdir()) == []


def test_bars_of_an_exchange_are_fetched_into_the_cache(root, capsys, monkeypatch):
    with exchange_server() as server:
        server.trade(NEWEST - 99 * HOUR, NEWEST)
        load = partial(load_exchange, connect=server.connect, now=lambda: NEWEST + HOUR + 120)
        monkeypatch.setattr(market_fetch, "load_exchange", load)
        call_command("market_fetch", "binance", "BTC/USDT", "1h", "50")
        printed = capsys.readouterr()
        assert printed.out.startswith("binance BTC/USDT 1h: 50 bars cached, 2020-09-11T12:00:00+00:00 to 2020-09-13T")
        assert "50/50" in printed.err
        with pytest.raises(CommandError, match="needs 5,000 bars that ended by"):
            call_command("market_fetch", "binance", "BTC/USDT", "1h", "5000")
    assert [path.name for path in (root / "exchange").rglob("*.parquet")] == ["1h.parquet"]
    with pytest.raises(CommandError, match="timeframe: must be a number"):
        call_command("market_fetch", "binance", "BTC/USDT", "hour", "50")
