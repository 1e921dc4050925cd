"""The API resource that checks price data."""

import json

import pytest
from django.core.management import call_command

from rl_training.models import InvalidConfig, PolicyStore
from tests.api_clients import client_of, problem
from tests.core.market.price_files import HEADER

pytestmark = pytest.mark.django_db
ROWS = [f"2020-01-{1 + hour // 24:02} {hour % 24:02}:00:00,10,12,9,{10 + hour % 2},5\n" for hour in range(48)]
TICK = HEADER + "".join(ROWS[:20]) + ROWS[20].replace("10,12,9,10", "10,9000,9,9000") + "".join(ROWS[21:])


@pytest.fixture
def get(policy, tmp_path, settings):
    settings.MARKET_DATA_ROOT = tmp_path
    (tmp_path / "tick.csv").write_text(TICK)
    return lambda **query: client_of("viewer").get("/api/v1/market-check", query)


def test_answer_equals_the_output_of_the_command(get, capsys):
    with pytest.raises(SystemExit):
        call_command("market_check", "tick.csv", "--json")
    assert get(path="tick.csv").json() == json.loads(capsys.readouterr().out)


def test_settings_decide_how_the_file_is_read(get):
    found = get(path="tick.csv", bad_rows="drop", columns='{"volume": "volume"}', skip_rows="0", timezone="UTC").json()
    assert (found["usable"], found["drops"], found["bars"]) == (True, {"bad_ticks": 1}, 47)


def test_market_of_a_policy_is_checked(get):
    assert (get(policy="rl_v3").json()["bars"], get(policy="rl_v3").json()["name"]) == (5031, "sp500")


def test_file_that_is_not_there_is_not_usable(get):
    found = get(path="none.csv").json()
    assert (found["usable"], "bars" in found) == (False, False)
    assert found["problem"].startswith("none.csv: there is no such file under MARKET_DATA_ROOT")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "path"),
        ({"path": "tick.csv", "policy": "rl_v3"}, "path"),
        ({"policy": "none"}, "policy"),
        ({"policy": "\x00"}, "policy"),
        ({"path": "tick.csv", "timezone": "Mars"}, "timezone"),
        ({"path": "tick.csv", "skip_rows": "few"}, "skip_rows"),
        ({"path": "tick.csv", "columns": "[" * 9999}, "columns"),
        ({"path": "tick.csv", "bars": "3"}, "bars"),
    ],
)
def test_invalid_parameter_is_refused_by_its_name(get, query, field):
    assert [error["field"] for error in problem(get(**query), 400)["errors"]] == [field]


def test_market_that_is_stored_invalid_is_refused(get, policy):
    PolicyStore.objects.filter(pk=policy.pk).update(market=InvalidConfig({"source": "file"}, ()))
    assert "The stored market is invalid: path: required" in problem(get(policy="rl_v3"), 400)["detail"]
