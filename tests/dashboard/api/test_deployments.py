from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client

from rl_training.models import Deployment, PolicyStore
from tests.api_clients import JSON, client_of, problem, user_of
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db
DEPLOYMENTS, LIVE, PROPOSALS = (
    "/api/v1/policies/rl_v3/deployments/",
    "/api/v1/policies/rl_v3/live",
    "/api/v1/proposals/",
)


@pytest.fixture
def versions(policy):
    return [version_of(finished_run(policy), number) for number in (1, 2, 3)]


@pytest.fixture
def admin(policy):
    return client_of("admin")


@pytest.fixture
def two(settings):
    settings.PROMOTION_NEEDS_TWO = True


@pytest.fixture
def second(policy):
    """Return a client of a second admin."""
    user = User.objects.create_user("second")
    user.groups.set(user_of("admin").groups.all())
    client = Client()
    client.force_login(user)
    return client


def change(client, action, reason="It is better.", **body):
    return client.post(DEPLOYMENTS, {"action": action, "reason": reason} | body, content_type=JSON)


def propose(client, action="promote", **body):
    body = {"policy": "rl_v3", "action": action, "reason": "It is better."} | body
    return client.post(PROPOSALS, body, content_type=JSON)


def test_promoted_version_is_live(admin, viewer, versions):
    answer = change(admin, "promote", version=2)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["version"], made["actor"], made["actor_name"], made["reason"]) == (2, "user", "admin", "It is better.")
    live = viewer.get(LIVE).json()
    assert (live["version"], live["since"], live["deployment"]) == (2, made["at"], made["id"])


def test_history_is_listed_newest_first(admin, viewer, versions):
    for action, body in (("promote", {"version": 1}), ("pin", {}), ("unpin", {}), ("go_flat", {}), ("roll_back", {})):
        assert change(admin, action, **body).status_code == 201
    rows = viewer.get(DEPLOYMENTS).json()["results"]
    assert [(row["action"], row["version"], row["pinned"]) for row in rows] == [
        ("roll_back", 1, True),
        ("go_flat", None, True),
        ("unpin", 1, False),
        ("pin", 1, True),
        ("promote", 1, False),
    ]
    assert [row["previous"] for row in rows] == [*(row["id"] for row in rows[1:]), None]
    assert rows[2]["live_since"] == rows[4]["at"]


def test_live_at_a_time_is_answered(viewer, versions):
    first = deploy(versions[0])
    second = deploy(versions[1], at=first.at + timedelta(days=1))
    days = {-1: None, 0: 1, 1: 2}
    for day, number in days.items():
        time = (first.at + timedelta(days=day)).isoformat()
        assert viewer.get(LIVE, {"at": time}).json()["version"] == number
    assert viewer.get(LIVE).json()["deployment"] == second.pk
    assert problem(viewer.get(LIVE, {"at": "yesterday"}), 400)["errors"][0]["field"] == "at"


def test_policy_without_deployments_has_nothing_live(viewer):
    live = viewer.get(LIVE).json()
    assert (live["version"], live["since"], live["deployment"], live["pinned"]) == (None, None, None, False)
    problem(viewer.get("/api/v1/policies/nobody/live"), 404)


@pytest.mark.parametrize(
    ("action", "body", "status", "kind", "field"),
    [
        ("promote", {"version": 1}, 409, "nothing-changes", None),
        ("roll_back", {}, 409, "not-deployable", None),
        ("promote", {"version": 2, "previous": 0}, 409, "live-has-changed", None),
        ("promote", {"version": 9}, 400, "invalid-input", "version"),
        ("promote", {}, 400, "invalid-input", "version"),
        ("go_flat", {"version": 1}, 400, "invalid-input", "version"),
        ("roll_back", {"deployment": 1_000_000}, 400, "invalid-input", "deployment"),
        ("pin", {"deployment": 1}, 400, "invalid-input", "deployment"),
        ("pin", {"reason": " "}, 400, "invalid-input", "reason"),
        ("deploy", {"version": 2}, 400, "invalid-input", "action"),
    ],
)
def test_refused_change_says_why_and_changes_nothing(admin, versions, action, body, status, kind, field):
    change(admin, "promote", version=1)
    found = problem(change(admin, action, **body), status)
    assert found["type"] == f"urn:quantum-trader:problem:{kind}"
    assert field is None or field in [error["field"] for error in found["errors"]]
    assert Deployment.objects.count() == 1


def test_change_of_an_unknown_policy_is_not_found(admin):
    problem(admin.post("/api/v1/policies/nobody/deployments/", {}, content_type=JSON), 404)


def test_operator_proposes_and_an_admin_approves(operator, admin, versions):
    problem(change(operator, "promote", version=2), 403)
    answer = propose(operator, version=2)
    assert answer.status_code == 201
    url = answer.headers["Location"]
    assert url.endswith(f"/api/v1/proposals/{answer.json()['id']}/")
    problem(operator.post(f"{url}approve/", content_type=JSON), 403)
    assert problem(propose(operator, version=2), 409)["proposal"] == answer.json()["id"]
    approved = admin.post(f"{url}approve/", content_type=JSON).json()
    assert (approved["status"], approved["decided_by"]) == ("approved", "admin")
    assert admin.get(LIVE).json()["approved_by"] == "admin"
    assert problem(admin.post(f"{url}reject/", content_type=JSON), 409)["type"].endswith("proposal-is-decided")


def test_proposals_are_filtered_withdrawn_and_rejected(operator, admin, versions):
    first, second = (propose(operator, version=number).json() for number in (1, 2))
    problem(admin.post(f"{PROPOSALS}{first['id']}/withdraw/", content_type=JSON), 403)
    assert operator.post(f"{PROPOSALS}{first['id']}/withdraw/", content_type=JSON).json()["status"] == "withdrawn"
    assert admin.post(f"{PROPOSALS}{second['id']}/reject/", content_type=JSON).json()["status"] == "rejected"
    third = propose(operator, version=3).json()
    rows = operator.get(PROPOSALS, {"status": "waiting", "policy": "rl_v3"}).json()["results"]
    assert [row["id"] for row in rows] == [third["id"]]
    PolicyStore.objects.create(name="other")
    assert operator.get(PROPOSALS, {"policy": "other"}).json()["results"] == []
    problem(operator.get(f"{PROPOSALS}999999/"), 404)


def test_second_client_of_the_same_user_cannot_approve(two, admin, second, versions):
    answer = change(admin, "promote", version=2)
    assert answer.status_code == 202
    url = f"{answer.headers['Location']}approve/"
    browser = Client()
    browser.force_login(user_of("admin"))
    for client in (admin, browser):
        assert "another user has to approve it" in problem(client.post(url, content_type=JSON), 403)["detail"]
    assert not Deployment.objects.exists()
    assert second.post(url, content_type=JSON).json()["status"] == "approved"
    assert Deployment.objects.get().version == versions[1]
