"""Decisions through the API: the one in force, every refusal, one for a caller, lists and accounts."""

from datetime import UTC, datetime, timedelta

import pytest

from rl_training.core.market_config import MarketConfig
from rl_training.models import Arm, Decision, FollowedMarket, MarketBar
from tests.api_clients import JSON, POLICY, client_of, problem
from tests.decisions.conftest import grow, market_root, versions
from tests.decisions.growing import Growing, closing, live_arm, set_up
from tests.stored import deploy
from tests.versions.conftest import change

__all__ = ["change", "grow", "market_root", "versions"]
pytestmark = pytest.mark.django_db
URN = "urn:quantum-trader:problem:"
ACCOUNT = {"position": 0.5, "unrealised_log_return": -0.01, "drawdown": 0.02}


def refusal(reason, path="decision"):
    response = client_of("viewer").get(POLICY + path)
    found = problem(response, 409)
    assert found["type"] == URN + reason
    return found


def ask(**changes):
    return client_of("viewer").post(f"{POLICY}decide/", ACCOUNT | changes, content_type=JSON)


def test_decision_in_force_is_that_of_the_newest_bar(policy, grow, versions):
    grow(minutes=10)
    response = client_of("viewer").get(f"{POLICY}decision")
    assert response.status_code == 200
    found = response.json()
    row = Decision.objects.get(arm__kind="live")
    assert 600 <= found.pop("bar_age_seconds") < 660
    assert (found["decision_id"], found["version"]) == (str(row.decision_id), 1)
    assert (found["weights_sha256"], found["target_position"]) == (versions[0].sha256, row.target_position)
    assert datetime.fromisoformat(found["valid_until"]) == row.bar_closed_at + timedelta(hours=2)
    assert found | {"timestamp": ""} == row.event.payload | {"timestamp": ""}


def test_policy_without_live_version_has_no_decision(policy, grow, change):
    grow(minutes=10)
    change("go_flat", reason="It loses.")
    assert "taken flat by admin: It loses." in refusal("no-live-version")["detail"]
    assert problem(ask(), 409)["type"] == f"{URN}no-live-version"


def test_policy_that_was_never_promoted_has_no_decision(policy, versions, market_root):
    set_up(policy)
    assert refusal("no-live-version")["detail"] == "Nothing is live: no version was ever promoted."


def test_decision_of_replaced_version_is_refused_but_a_caller_is_answered(policy, grow, versions, change):
    grow(minutes=10)
    change("promote", versions[1])
    assert "The newest decision is still by version 1" in refusal("live-version-changed")["detail"]
    assert (ask().status_code, ask().json()["version"], ask().json()["weights_sha256"]) == (200, 2, versions[1].sha256)


@pytest.mark.parametrize("ago", [{"hours": 2, "seconds": 5}, {"days": 30}])
def test_old_bars_are_refused(policy, grow, ago):
    growing = grow(**ago)
    found = refusal("stale-bars")
    assert datetime.fromisoformat(found["bar_closed_at"]) == growing.now
    assert problem(ask(), 409)["type"] == f"{URN}stale-bars"


def test_error_of_the_source_is_named_with_old_bars(policy, grow):
    growing = grow(hours=3)
    growing.file.unlink()
    growing.round()
    assert "there is no such file" in refusal("stale-bars")["detail"]


def test_decision_ahead_of_the_clock_is_refused(policy, grow):
    grow(hours=-1)
    assert "ahead of this machine's clock" in refusal("stale-bars")["detail"]


def test_changed_bars_are_refused_until_the_next_bar(policy, grow):
    growing = grow(minutes=10)
    bar = MarketBar.objects.latest("opened_at")
    MarketBar.objects.create(
        market=bar.market,
        opened_at=bar.opened_at,
        revision=1,
        seen_at=growing.now,
        **{name: getattr(bar, name) for name in ("open", "high", "low", "close", "volume")},
    )
    assert datetime.fromisoformat(refusal("bars-revised")["bar_closed_at"]) == growing.now
    assert problem(ask(), 409)["type"] == f"{URN}bars-revised"


@pytest.mark.parametrize("source", ["sp500", "nasdaq", "planted"])
def test_market_that_cannot_grow_is_refused(policy, versions, source):
    policy.market = MarketConfig(source=source)
    policy.save_settings("market")
    deploy(versions[0])
    assert "only exchanges and files that grow" in refusal("market-not-live")["detail"]
    assert problem(ask(), 409)["type"] == f"{URN}market-not-live"


def test_file_that_does_not_grow_is_refused(policy, versions, market_root):
    set_up(policy)
    growing = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(days=9)))
    deploy(versions[0])
    growing.round(days=9)
    assert "has not grown since the policy follows it" in refusal("market-not-live")["detail"]


def test_policy_that_has_not_decided_yet_is_refused(policy, versions, market_root):
    set_up(policy)
    deploy(versions[0])
    assert refusal("stale-bars")["detail"] == "No bar is decided yet."


def test_caller_with_the_paper_account_gets_its_decision(policy, grow):
    grow(minutes=10)
    row = Decision.objects.get(arm__kind="live")
    found = ask(position=0.0, unrealised_log_return=0.0, drawdown=0.0).json()
    assert (found["target_position"], found["probabilities"]) == (row.target_position, row.probabilities)
    assert (found["value"], found["observation_sha256"]) == (row.value, row.observation_sha256)
    assert ask().json()["observation_sha256"] != row.observation_sha256
    assert Decision.objects.count() == 3


@pytest.mark.parametrize("changes", [{"drawdown": 1.5}, {"position": "1"}, {"equity": 1.0}, {"position": 21}])
def test_impossible_accounts_are_refused(policy, grow, changes):
    grow(minutes=10)
    assert [error["field"] for error in problem(ask(**changes), 400)["errors"]] == list(changes)


def test_unreadable_weights_are_named(policy, grow, versions, change, artifact_root):
    grow(minutes=10)
    change("promote", versions[1])
    (artifact_root / versions[1].artifact / "policy.safetensors").unlink()
    assert problem(ask(), 409)["type"] == f"{URN}weights-unreadable"


def test_decisions_are_listed_by_account(policy, grow):
    growing = grow(hours=3)
    growing.grow(3)
    path = f"{POLICY}decisions/"
    listed = client_of("viewer").get(path, {"limit": 2}).json()
    rows = Decision.objects.filter(arm=live_arm(policy)).order_by("-bar_opened_at")
    assert [row["decision_id"] for row in listed["results"]] == [str(row.decision_id) for row in rows[:2]]
    assert (listed["results"][0]["arm"], listed["results"][0]["version"]) == ("live", 1)
    rest = client_of("viewer").get(listed["next"]).json()
    assert [row["decision_id"] for row in rest["results"]] == [str(row.decision_id) for row in rows[2:]]
    held = client_of("viewer").get(path, {"account": Arm.objects.get(kind="buy_and_hold").pk}).json()
    assert {row["arm"] for row in held["results"]} == {"buy_and_hold"}


@pytest.mark.parametrize(("account", "status"), [("0", 404), ("x", 400), ("9" * 30, 400)])
def test_unknown_account_is_refused(policy, grow, account, status):
    problem(client_of("viewer").get(f"{POLICY}decisions/", {"account": account}), status)


def test_policy_without_account_has_no_decisions(policy):
    assert client_of("viewer").get(f"{POLICY}decisions/").json()["results"] == []
    assert client_of("viewer").get(f"{POLICY}accounts/").json() == {"results": []}


def test_accounts_are_listed_with_their_results(policy, grow, market_root):
    growing = grow(hours=3)
    growing.grow(3)
    accounts = client_of("viewer").get(f"{POLICY}accounts/").json()["results"]
    assert [(account["arm"], account["market"]) for account in accounts] == [
        ("live", "growing.csv"),
        ("flat", "growing.csv"),
        ("buy_and_hold", "growing.csv"),
    ]
    newest = Decision.objects.filter(arm=live_arm(policy)).latest("bar_opened_at")
    assert (accounts[0]["equity"], accounts[0]["total_return"]) == (newest.equity, newest.equity - 1)
    assert accounts[1]["drawdown"] == 0.0
    policy.market = MarketConfig()
    policy.save_settings("market")
    growing.round()
    ended = client_of("viewer").get(f"{POLICY}accounts/").json()["results"][0]
    assert ended["ending"] == "The policy no longer follows the market growing.csv."


def test_failing_source_is_read_again_after_growing_pauses(policy, grow):
    growing = grow(minutes=10)
    growing.file.unlink()
    pauses = []
    for _ in range(3):
        growing.round()
        market = FollowedMarket.objects.get()
        pauses.append((market.due_at - growing.now).total_seconds())
    assert (pauses, market.failures, market.failing_since) == ([1.0, 2.0, 4.0], 3, growing.now)
    growing.rewrite(growing.line(bar) for bar in range(growing.shown))
    growing.round()
    market.refresh_from_db()
    assert (market.failures, market.error, market.failing_since) == (0, "", None)


def open_arm(arm, role="operator"):
    return client_of(role).post(f"{POLICY}accounts/", {"arm": arm}, content_type=JSON)


def close(url):
    return client_of("operator").post(url, content_type=JSON)


def test_challenger_is_opened_once_and_ended(policy, grow):
    growing = grow(hours=3)
    opened = open_arm("last_return_opposed")
    assert (opened.status_code, opened.json()["name"], opened.json()["equity"]) == (201, "last_return_opposed", None)
    assert (open_arm("last_return_opposed").status_code, open_arm("rl_v3:2").status_code) == (200, 201)
    growing.grow()
    accounts = client_of("viewer").get(f"{POLICY}accounts/").json()["results"]
    names = ["live", "flat", "buy_and_hold", "rl_v3:2", "last_return_opposed"]
    assert [account["name"] for account in accounts] == names
    assert accounts[3]["equity"] == 1.0
    end = f"{POLICY}accounts/{accounts[3]['account']}/end/"
    assert close(end).json()["ending"] == "Ended by operator."
    assert problem(close(end), 409)["type"] == f"{URN}arm-refused"
    live = f"{POLICY}accounts/{accounts[0]['account']}/end/"
    assert "only challengers can be ended" in problem(close(live), 409)["detail"]


def test_unknown_arms_and_accounts_are_refused(policy, grow):
    grow(hours=3)
    assert [error["field"] for error in problem(open_arm("rl_v3:9"), 400)["errors"]] == ["arm"]
    for number in (0, 10**30):
        problem(close(f"{POLICY}accounts/{number}/end/"), 404)


def test_comparison_on_new_bars_is_begun_shown_and_ended(policy, grow):
    growing = grow(hours=-1)
    client, url = client_of("operator"), "/api/v1/arm-comparisons/"
    begun = client.post(url, {"policy": "rl_v3", "b": "buy_and_hold"}, content_type=JSON)
    found = begun.json()
    assert (begun.status_code, found["status"], found["a"], found["expected_bars"]) == (201, "running", "live", None)
    growing.grow(3)
    found = client.get(begun["Location"]).json()
    assert (found["bars"], len(client.get(url).json()["results"])) == (3, 1)
    assert problem(client.post(url, {"policy": "rl_v3", "b": "buy_and_hold"}, content_type=JSON), 409)
    for field, value in {"b": "rl_v3:9", "largest_loss": 2, "floor": -1}.items():
        refused = client.post(url, {"policy": "rl_v3", "b": "flat", field: value}, content_type=JSON)
        assert [error["field"] for error in problem(refused, 400)["errors"]] == [field]
    assert close(f"{begun['Location']}end/").json()["ending"] == "Ended by operator."
    assert problem(close(f"{begun['Location']}end/"), 409)["type"] == f"{URN}comparison-has-ended"
