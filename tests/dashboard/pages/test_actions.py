import re
from datetime import timedelta

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from rl_training import roles
from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.schedule import slots
from tests.stored import finished_run, store_raw

pytestmark = pytest.mark.django_db
SETTINGS = "/policies/rl_v3/settings/"


@pytest.fixture
def user_of(django_user_model):
    """A client that is signed in as a user of that role."""
    roles.grant(apps)

    def signed_in(role, **options):
        user, _ = django_user_model.objects.get_or_create(username=f"the {role}")
        if role != "nobody":
            user.groups.add(Group.objects.get(name=role))
        client = Client(**options)
        client.force_login(user)
        return client

    return signed_in


@pytest.fixture
def operator(user_of):
    return user_of("operator")


@pytest.fixture(autouse=True)
def no_messages_leave(monkeypatch):
    monkeypatch.setattr(lifecycle.task_messages, "send", lambda runs: len(runs))


def said(client, url, **form):
    """What the page says after the answer to that form."""
    answer = client.post(url, form, follow=True)
    assert answer.status_code == 200
    return [str(message) for message in answer.context["messages"]]


def active(policy, status="running"):
    columns = {"trigger": "schedule", "episodes": 2, "attempt": 1, "config": {}}
    return TrainingRun.objects.create(policy=policy, status=status, **columns)


def addresses(run):
    return [f"/policies/rl_v3/{what}/" for what in ("train", "enable", "disable", "settings")] + [
        f"/runs/{run.run_id}/cancel/"
    ]


def test_only_who_may_is_asked_or_obeyed(user_of, policy):
    run = active(policy)
    for url in addresses(run):
        assert Client().get(url).url == f"/accounts/login/?next={url}"
        assert Client().post(url).status_code == 302
        for role, status in (("nobody", 403), ("viewer", 403), ("operator", 200), ("admin", 200)):
            assert user_of(role).get(url).status_code == status
        for role in ("nobody", "viewer"):
            assert user_of(role).post(url).status_code == 403
            assert user_of(role).get(url, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"
    run.refresh_from_db()
    policy.refresh_from_db()
    assert (run.status, run.cancel_requested_at, policy.enabled) == ("running", None, True)


def test_a_question_changes_nothing_and_a_yes_needs_its_token(user_of, policy):
    client = user_of("operator", enforce_csrf_checks=True)
    run = active(policy)
    for url in addresses(run):
        assert client.get(url).status_code == 200
        assert client.post(url).status_code == 403
    assert TrainingRun.objects.filter(cancel_requested_at=None).count() == 1
    token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', client.get(addresses(run)[2]).content.decode())[1]
    assert client.post("/policies/rl_v3/disable/", {"csrfmiddlewaretoken": token}).status_code == 302
    assert not PolicyStore.objects.get().enabled


def test_a_dialog_gets_the_question_alone(operator, policy):
    whole = operator.get("/policies/rl_v3/disable/").content.decode()
    part = operator.get("/policies/rl_v3/disable/", headers={"HX-Request": "true"}).content.decode()
    assert "<html" in whole
    assert "<html" not in part
    assert "Disable rl_v3?" in part


def test_training_now_queues_a_run(operator, policy):
    [text] = said(operator, "/policies/rl_v3/train/")
    run = TrainingRun.objects.get()
    assert text == f"Run {run.run_id} of rl_v3 is queued."
    assert (run.status, run.trigger) == ("queued", "admin")


def test_a_second_run_is_not_queued(operator, policy):
    run = active(policy)
    assert said(operator, "/policies/rl_v3/train/") == [
        f"Nothing was queued: policy rl_v3 already has a running run, {run.run_id}."
    ]
    assert f"It has a running run, {run.run_id}" in operator.get("/policies/rl_v3/train/").content.decode()


def test_a_policy_stored_invalid_is_not_trained(operator, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    [text] = said(operator, "/policies/rl_v3/train/")
    assert "Nothing was done: what is stored of rl_v3 is invalid." in text
    assert not TrainingRun.objects.exists()


def test_a_queued_run_is_cancelled_at_once(operator, policy):
    run = active(policy, "queued")
    assert said(operator, f"/runs/{run.run_id}/cancel/") == [f"Run {run.run_id} is cancelled."]
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_a_running_run_is_asked_to_end(operator, policy):
    run = active(policy)
    assert said(operator, f"/runs/{run.run_id}/cancel/") == [f"Run {run.run_id} ends after its present iteration."]
    run.refresh_from_db()
    assert run.cancel_requested_at is not None


def test_a_run_that_ended_meanwhile_is_not_cancelled(operator, policy):
    run = finished_run(policy)
    text = f"Nothing to cancel: run {run.run_id} has ended already, succeeded."
    assert said(operator, f"/runs/{run.run_id}/cancel/") == [text]


def test_a_policy_is_switched_off_and_on(operator, policy):
    assert said(operator, "/policies/rl_v3/disable/") == ["rl_v3 is disabled."]
    assert said(operator, "/policies/rl_v3/disable/") == ["rl_v3 was disabled already."]
    assert "a run starts at once" in operator.get("/policies/rl_v3/enable/").content.decode()
    assert said(operator, "/policies/rl_v3/enable/") == ["rl_v3 is enabled."]
    assert [record.enabled for record in PolicyStore.objects.get().history.all()][:2] == [True, False]


@pytest.mark.parametrize("url", ["/policies/other/train/", "/policies/other/settings/", "/runs/000000000000/cancel/"])
def test_what_there_is_not_is_not_found(operator, policy, url):
    assert operator.get(url).status_code == operator.post(url).status_code == 404


@pytest.mark.parametrize(
    ("asked", "comes_back_to"),
    [("/", "/"), ("//elsewhere.example/", "/policies/rl_v3/"), ("javascript:alert(1)", "/policies/rl_v3/")],
)
def test_it_comes_back_to_the_page_that_asked(operator, policy, asked, comes_back_to):
    assert operator.post("/policies/rl_v3/disable/", {"next": asked}).url == comes_back_to


def form(policy, **changes):
    policy = PolicyStore.objects.get(pk=policy.pk)
    kept = {"interval_minutes": policy.interval_minutes, "episodes_per_run": policy.episodes_per_run}
    return kept | {"seen": policy.updated_at.isoformat()} | changes


def page_of(client, **sent):
    answer = client.post(SETTINGS, sent)
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]*>", " ", answer.content.decode()).split())


def test_settings_are_shown_then_saved(operator, policy):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=50))
    text = page_of(operator, **form(policy, interval_minutes=90), action="review")
    assert "interval_minutes 60 90" in text
    assert "Saving starts no run now." in text
    assert PolicyStore.objects.get().interval_minutes == 60
    assert said(operator, SETTINGS, **form(policy, interval_minutes=90), action="save") == [
        "Saved: interval_minutes 90."
    ]
    assert PolicyStore.objects.get().interval_minutes == 90


@pytest.mark.parametrize(
    ("minutes", "enabled", "busy", "sentence"),
    [
        (30, True, False, "Saving starts no run now."),
        (-1, True, False, "Saving starts a run now."),
        (-1, True, True, "Saving starts no run now: one is queued or running, and the next one follows it."),
        (-1, False, False, "The policy is disabled: saving starts no run."),
    ],
)
def test_it_says_whether_saving_starts_a_run(operator, policy, minutes, enabled, busy, sentence):
    PolicyStore.objects.update(next_run_at=timezone.now() + timedelta(minutes=minutes), enabled=enabled)
    if busy:
        active(policy)
    assert sentence in page_of(operator, **form(policy), action="preview")


def test_the_preview_is_what_beat_does(operator, policy):
    """A shortened interval counts from the last slot; one that has passed by then is due at once."""
    now = timezone.now()
    for minutes_ago, interval, starts in ((50, 60, False), (50, 40, True)):
        TrainingRun.objects.all().delete()
        finished_run(policy, scheduled_for=now - timedelta(minutes=minutes_ago))
        PolicyStore.objects.update(next_run_at=now + timedelta(minutes=600 - minutes_ago), interval_minutes=600)
        answer = operator.post(SETTINGS, form(policy, interval_minutes=interval) | {"action": "preview"})
        preview = answer.context["preview"]
        saved = PolicyStore.objects.get()
        saved.interval_minutes = interval
        slots.bring_forward(saved, now)
        assert abs(preview.due[0] - saved.next_run_at) < timedelta(seconds=10)
        assert ("a run now" in preview.sentence.replace("no run now", "")) is starts
        steps = {later - earlier for earlier, later in zip(preview.due, preview.due[1:], strict=False)}
        assert steps == {timedelta(minutes=interval)}
        assert len(preview.due) == 5


def test_a_save_after_somebody_elses_is_refused(operator, policy):
    mine = form(policy, episodes_per_run=9)
    PolicyStore.objects.update(interval_minutes=7, updated_at=timezone.now())
    text = page_of(operator, **mine, action="save")
    assert "after this form was opened" in text
    policy.refresh_from_db()
    assert (policy.interval_minutes, policy.episodes_per_run) == (7, 2)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", "many", "99999999"])
def test_what_the_admin_refuses_is_refused(operator, policy, value):
    for action in ("preview", "review", "save"):
        assert "interval_minutes: a whole number from 1 to 527,040." in page_of(
            operator, **form(policy, interval_minutes=value), action=action
        )
    assert PolicyStore.objects.get().interval_minutes == 60


def test_settings_of_a_policy_stored_invalid_are_not_saved(operator, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    assert operator.get(SETTINGS).status_code == 200
    sent = {"interval_minutes": 7, "episodes_per_run": 2, "action": "save"}
    seen = PolicyStore.objects.values_list("updated_at", flat=True).get().isoformat()
    assert "repair it in the admin first" in page_of(operator, **sent, seen=seen)
    assert PolicyStore.objects.values_list("interval_minutes", flat=True).get() == 60
