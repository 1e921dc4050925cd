import re

import pytest
from django.test import Client

from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import task_messages
from tests.api_clients import user_of
from tests.dashboard.pages.page_rows import active_run, version_of
from tests.stored import finished_run, store_raw

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(signed_in):
    return signed_in("operator")


@pytest.fixture(autouse=True)
def no_messages_leave(monkeypatch):
    monkeypatch.setattr(task_messages, "send", lambda runs: len(runs))


def messages(client, url, **form):
    """Return the messages on the page that follows the form."""
    answer = client.post(url, form, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def urls(run):
    return [f"/policies/rl_v3/{what}/" for what in ("train", "enable", "disable", "settings")] + [
        f"/runs/{run.run_id}/cancel/"
    ]


def test_actions_require_their_permission(signed_in, policy):
    run = active_run(policy)
    for url in urls(run):
        assert Client().get(url).headers["Location"] == f"/accounts/login/?next={url}"
        assert Client().post(url).status_code == 302
        for role, status in ((None, 403), ("viewer", 403), ("operator", 200), ("admin", 200)):
            assert signed_in(role).get(url).status_code == status
        for role in (None, "viewer"):
            assert signed_in(role).post(url).status_code == 403
            assert signed_in(role).get(url, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    run.refresh_from_db()
    policy.refresh_from_db()
    assert (run.status, run.cancel_requested_at, policy.enabled) == ("running", None, True)


def test_question_changes_nothing_and_the_post_needs_its_token(signed_in, policy):
    client = signed_in("operator", enforce_csrf_checks=True)
    run = active_run(policy)
    for url in urls(run):
        assert client.get(url).status_code == 200
        assert client.post(url).status_code == 403
    assert TrainingRun.objects.filter(cancel_requested_at=None).count() == 1
    html = client.get("/policies/rl_v3/disable/").content.decode()
    [token] = re.findall(r'id="question-heading".*csrfmiddlewaretoken" value="(\w+)"', html, re.DOTALL)
    assert client.post("/policies/rl_v3/disable/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert not PolicyStore.objects.get().enabled


def test_dialog_contains_only_the_question(operator, policy):
    whole = operator.get("/policies/rl_v3/disable/").content.decode()
    part = operator.get("/policies/rl_v3/disable/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" in whole
    assert "<html" not in part
    assert "Disable rl_v3?" in part


def test_train_now_queues_a_run(operator, policy):
    [text] = messages(operator, "/policies/rl_v3/train/")
    run = TrainingRun.objects.get()
    assert text == f"Run {run.run_id} of rl_v3 is queued."
    assert (run.status, run.trigger) == ("queued", "admin")
    assert run.triggered_by == user_of("operator")


def test_train_now_uses_the_options(operator, policy):
    html = operator.get("/policies/rl_v3/train/").content.decode()
    assert "Empty: 2, as the policy says." in html
    assert "Empty: from scratch, as the policy says." in html
    policy.start_from = "newest"
    policy.save_settings()
    version = version_of(finished_run(policy))
    version_of(finished_run(policy), 2)
    assert "Empty: the newest version, version 2." in operator.get("/policies/rl_v3/train/").content.decode()
    messages(operator, "/policies/rl_v3/train/", episodes="7", seed="3", initial_version="1")
    run = TrainingRun.objects.active().get()
    assert (run.episodes, run.config["seed"], run.initial_version) == (7, 3, version)


def test_train_now_starts_from_scratch(operator, policy):
    version_of(finished_run(policy))
    messages(operator, "/policies/rl_v3/train/", from_scratch="on")
    assert TrainingRun.objects.active().get().initial_version is None


@pytest.mark.parametrize(
    ("options", "errors"),
    [
        ({"episodes": "0"}, {"episodes": ["A whole number from 1 to 1,000,000."]}),
        ({"episodes": "1000001"}, {"episodes": ["A whole number from 1 to 1,000,000."]}),
        ({"episodes": "2.5"}, {"episodes": ["A whole number from 1 to 1,000,000."]}),
        ({"seed": "-1"}, {"seed": ["A whole number from 0 to 4,294,967,295."]}),
        ({"seed": "4294967296"}, {"seed": ["A whole number from 0 to 4,294,967,295."]}),
        ({"initial_version": "5"}, {"initial_version": ["rl_v3 has no version 5."]}),
        ({"initial_version": "2147483648"}, {"initial_version": ["A whole number from 1 to 2,147,483,647."]}),
        (
            {"initial_version": "1", "from_scratch": "on"},
            {"from_scratch": ["A run from scratch has no starting version: leave one of the two empty."]},
        ),
    ],
)
def test_invalid_option_is_named_and_queues_no_run(operator, policy, options, errors):
    version_of(finished_run(policy))
    answer = operator.post("/policies/rl_v3/train/", options)
    assert answer.status_code == 200
    assert answer.context["form"].errors == errors
    assert not TrainingRun.objects.active().exists()


def test_second_run_is_not_queued(operator, policy):
    run = active_run(policy)
    assert messages(operator, "/policies/rl_v3/train/") == [
        f"Nothing was queued: policy rl_v3 already has a running run, {run.run_id}."
    ]
    assert f"The policy has a running run, {run.run_id}" in operator.get("/policies/rl_v3/train/").content.decode()


def test_policy_with_invalid_config_is_not_trained(operator, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    [text] = messages(operator, "/policies/rl_v3/train/")
    assert "Nothing was done: the stored settings of rl_v3 are invalid." in text
    assert not TrainingRun.objects.exists()


def test_queued_run_is_cancelled_at_once(operator, policy):
    run = active_run(policy, "queued")
    assert messages(operator, f"/runs/{run.run_id}/cancel/") == [f"Run {run.run_id} is cancelled."]
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_running_run_is_requested_to_end(operator, policy):
    run = active_run(policy)
    assert messages(operator, f"/runs/{run.run_id}/cancel/") == [f"Run {run.run_id} ends after its present iteration."]
    run.refresh_from_db()
    assert run.cancel_requested_at is not None


def test_finished_run_is_not_cancelled(operator, policy):
    run = finished_run(policy)
    text = f"Nothing to cancel: run {run.run_id} has ended already, succeeded."
    assert messages(operator, f"/runs/{run.run_id}/cancel/") == [text]


def test_policy_is_disabled_and_enabled(operator, policy):
    assert messages(operator, "/policies/rl_v3/disable/") == ["rl_v3 is disabled."]
    assert messages(operator, "/policies/rl_v3/disable/") == ["rl_v3 was disabled already."]
    assert "a run starts at once" in operator.get("/policies/rl_v3/enable/").content.decode()
    assert messages(operator, "/policies/rl_v3/enable/") == ["rl_v3 is enabled."]
    assert [record.enabled for record in PolicyStore.objects.get().history.all()][:2] == [True, False]


@pytest.mark.parametrize("url", ["/policies/other/train/", "/policies/other/settings/", "/runs/000000000000/cancel/"])
def test_unknown_policy_or_run_is_not_found(operator, policy, url):
    assert operator.get(url).status_code == operator.post(url).status_code == 404


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [("/", "/"), ("//elsewhere.example/", "/policies/rl_v3/"), ("javascript:alert(1)", "/policies/rl_v3/")],
)
def test_action_returns_to_a_page_on_this_site_only(operator, policy, wanted, reached):
    assert operator.post("/policies/rl_v3/disable/", {"next": wanted}).url == reached
