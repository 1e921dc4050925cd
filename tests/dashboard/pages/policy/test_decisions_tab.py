import re
from datetime import UTC, datetime, timedelta

import pytest

from rl_training.models import Decision
from tests.api_clients import user_of
from tests.dashboard.pages.page_text import words
from tests.decisions.conftest import market_root, versions
from tests.decisions.growing import Growing, closing, live_arm, set_up
from tests.stored import deploy
from tests.versions.conftest import change

__all__ = ["change", "market_root", "versions"]
pytestmark = pytest.mark.django_db
DECISIONS = "/policies/rl_v3/decisions/"


@pytest.fixture
def decided(policy, versions, market_root):
    """Four decisions of version 1; the last bar closed ten minutes ago."""
    set_up(policy)
    growing = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(hours=3, minutes=10)))
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    growing.grow(3)
    return growing


def newest(policy):
    return Decision.objects.filter(arm=live_arm(policy)).latest("bar_opened_at")


def test_position_is_shown_with_its_reasons(page, policy, decided):
    text = words(page(DECISIONS))
    row = newest(policy)
    position = {-1.0: "short", 0.0: "flat", 1.0: "long"}[row.target_position]
    assert f"rl_v3 is {position}: version 1 chose target {row.target_position}" in text
    assert f"at the close of {row.bar_closed_at:%Y-%m-%d %H:%M:%S} UTC" in text
    short, flat, long = (f"{100 * value:.2f} %" for value in row.probabilities)
    shown = f"short {short} flat {flat} long {long}"
    assert f"probabilities {shown} observation log_return_1" in text
    assert re.search(r"position \S+ unrealised_log_return \S+ drawdown \S+", text)


def test_accounts_and_decisions_are_listed(page, policy, decided):
    text = words(page(DECISIONS))
    assert "the live version growing.csv" in text
    assert "buy and hold growing.csv" in text
    assert "flat growing.csv 0.00 % 0.00 % 0" in text
    assert re.search(
        r"Guards: after 3 bars the change detector is at \S+ of 87,600, and the drawdown at \S+ % of 100 %", text
    )
    assert "The account opens. Something is live for the first time on this market." in text
    assert text.count("version 1") >= 5
    assert "4 closes" in text


def test_list_continues_before_a_time(page, policy, decided):
    row = Decision.objects.filter(arm=live_arm(policy)).order_by("bar_opened_at")[1]
    text = words(page(f"{DECISIONS}?before={row.bar_opened_at:%Y-%m-%dT%H:%M:%S}"))
    assert text.count("version 1 ") == 2
    assert "Newest" in text
    assert page(f"{DECISIONS}?before=yesterday")


def test_refusal_stands_in_place_of_an_old_position(page, policy, decided, change):
    change("go_flat", reason="It loses.")
    text = words(page(DECISIONS))
    assert "No decision is in force. Nothing is live since" in text
    assert "taken flat by admin: It loses." in text


def test_policy_without_account_says_how_one_opens(page, policy):
    text = words(page(DECISIONS))
    assert "No decision is in force. The market sp500 does not grow" in text
    assert "An account opens when a version is live for the first time on a market that grows" in text


def test_overview_shows_the_position_and_the_result_of_the_day(page, policy, decided):
    row = newest(policy)
    position = {-1.0: "short", 0.0: "flat", 1.0: "long"}[row.target_position]
    assert re.search(rf"version 1 .*{position} -?\d+\.\d\d % today", words(page("/")))


def test_old_position_is_marked_on_the_overview(page, policy, versions, market_root):
    set_up(policy)
    growing = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(days=2)))
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    assert re.search(r"was (long|short|flat) 2 d 0 h ago|was (long|short|flat) 48 h", words(page("/")))


def test_chart_of_accounts_has_each_close(client, viewer, policy, decided):
    client.force_login(viewer)
    found = client.get("/charts/rl_v3/decisions/equity.json").json()
    assert [one["label"] for one in found["series"]] == ["Live version", "Buy and hold", "Flat"]
    assert found["data"][3] == [1.0] * 4
    assert client.get("/charts/rl_v3/decisions/other.json").status_code == 404


def test_challenger_is_opened_shown_and_ended(client, policy, decided):
    client.force_login(user_of("operator"))
    url = "/policies/rl_v3/accounts/open/"
    assert "newest version of the recipe" in words(client.get(url).content.decode())
    assert "Select a valid choice" in client.post(url, {"arm": "rl_v3:9"}).content.decode()
    shown = client.post(url, {"arm": "rl_v3:2"}, follow=True)
    assert "The arm version 2 is open" in words(shown.content.decode())
    decided.grow()
    text = words(client.get(DECISIONS).content.decode())
    assert "version 2 growing.csv 0.00 %" in text
    found = client.get("/charts/rl_v3/decisions/equity.json").json()
    assert [one["label"] for one in found["series"]] == ["Live version", "Buy and hold", "Flat", "Version 2"]
    arm = policy.arms.get(kind="version")
    client.post(f"/policies/rl_v3/accounts/{arm.pk}/end/")
    assert "ended: Ended by operator." in words(client.get(DECISIONS).content.decode())
