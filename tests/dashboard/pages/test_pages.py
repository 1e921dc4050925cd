import re
from datetime import timedelta
from urllib.parse import quote

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.urls import reverse
from django.utils import timezone

from dashboard.pages import overview, policy_pages
from dashboard.pages.active_runs import shown
from dashboard.pages.policy_states import Record
from rl_training import roles
from rl_training.alerts.models import Alert, AlertRule
from rl_training.models import PolicyStore, TrainingRun
from rl_training.streams import progress
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
IMAGE, END_OF_SCRIPT = "<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"
WELL = {part: {"state": "ok", "seconds_ago": 0.5} for part in ("database", "redis", "beat", "worker")}
IDLE = {"oldest_queued_seconds": None, "outbox_lag": {"events": 0, "oldest_seconds": None}}


@pytest.fixture
def state(monkeypatch):
    """What is found of the parts of the system, as a test sets it."""
    found = {**WELL, **IDLE}
    monkeypatch.setattr(overview, "STATE", overview.Shared(lambda: found))
    return found


@pytest.fixture
def viewer(client, django_user_model, state):
    roles.grant(apps)
    user = django_user_model.objects.create_user("viewer", password="secret")
    user.groups.add(Group.objects.get(name="viewer"))
    client.force_login(user)
    return client


def words(client, url):
    answer = client.get(url)
    assert answer.status_code == 200
    html = re.sub(r"<(head|header)>.*?</\1>", "", answer.content.decode(), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def running(policy, **columns):
    columns = {"episodes": 8, "config": {}, "attempt": 1} | columns
    return TrainingRun.objects.create(policy=policy, status="running", trigger="schedule", **columns)


def test_signing_in_leads_back_and_nowhere_else(client, viewer):
    client.logout()
    form = {"username": "viewer", "password": "secret"}
    for wanted, reached in (("/runs/", "/runs/"), ("https://elsewhere.example/", "/"), ("//elsewhere.example", "/")):
        answer = client.post("/accounts/login/", form | {"next": wanted})
        assert (answer.status_code, answer.url) == (302, reached)
    wrong = client.post("/accounts/login/", form | {"password": "other"})
    assert "Please enter a correct username and password" in wrong.content.decode()
    assert wrong.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_signing_out_takes_a_post(viewer):
    assert viewer.get("/accounts/logout/").status_code == 405
    assert viewer.post("/accounts/logout/").url == "/accounts/login/"
    assert viewer.get("/").status_code == 302


def test_a_login_without_a_role_sees_nothing(client, django_user_model, policy, state):
    client.force_login(django_user_model.objects.create_user("nobody"))
    for url in ("/", "/policies/rl_v3/"):
        answer = client.get(url)
        assert answer.status_code == 403
        assert "rl_v3" not in answer.content.decode()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert client.get(url, headers={"HX-Request": "true"}).headers["HX-Refresh"] == "true"


def test_all_is_well(viewer, policy):
    finished_run(policy)
    assert "Training is healthy 0 running, 0 queued" in words(viewer, "/")


@pytest.mark.parametrize(
    ("changes", "sentence", "what", "remedy"),
    [
        ({"beat": "silent"}, "Training is held up", "Beat is silent", "celery -A celery_app beat"),
        ({"worker": "silent"}, "Training is held up", "No worker is heard", "worker -Q training"),
        ({"redis": "away"}, "Training is held up", "Redis does not answer", "REDIS_URL"),
        ({"alerts": "silent"}, "Training needs attention", "Nobody looks after alerts", "log"),
    ],
)
def test_a_part_that_is_lost_is_named_with_what_to_do(viewer, policy, state, changes, sentence, what, remedy):
    for part, word in changes.items():
        state[part] = {"state": word, "seconds_ago": None}
    text = words(viewer, "/")
    assert all(said in text for said in (sentence, what, remedy))


def test_what_waits_too_long_is_named(viewer, policy, state):
    state |= {"oldest_queued_seconds": 400.0, "outbox_lag": {"events": 12, "oldest_seconds": 90.0}}
    text = words(viewer, "/")
    assert "A run has waited for a worker for 6 min 40 s. All may be at work: start another. See what waits." in text
    assert "12 events have waited for their stream for up to 1 min 30 s." in text


def test_policies_that_fail_are_named_and_can_be_listed(viewer, policy):
    finished_run(policy, status="failed", error="no file x.csv")
    other = PolicyStore.objects.create(name="other")
    finished_run(other, status="failed")
    finished_run(other)
    text = words(viewer, "/")
    assert "The last run of rl_v3 failed. See its error." in text
    assert "no file x.csv" in text
    assert "other" not in words(viewer, "/?show=failing")
    PolicyStore.objects.filter(name="rl_v3").update(enabled=False)
    assert "The last run of" not in words(viewer, "/")


def test_an_open_alert_is_shown_until_it_is_acknowledged(viewer, policy):
    rule = AlertRule.objects.filter(policy=policy).first() or AlertRule.objects.create(policy=policy, kind="run_failed")
    alert = Alert.objects.create(rule=rule, policy=policy, kind=rule.kind, message=f"reward fell {IMAGE}")
    text = words(viewer, "/")
    assert "Alert of rl_v3: reward fell" in text
    assert "Acknowledge" not in text
    assert IMAGE not in viewer.get("/").content.decode()
    alert.acknowledged_at = timezone.now()
    alert.save()
    assert "reward fell" not in words(viewer, "/")


def test_policies_come_by_the_page(viewer, policy, monkeypatch):
    monkeypatch.setattr(policy_pages, "POLICIES_PER_PAGE", 2)
    for number in range(3):
        PolicyStore.objects.create(name=f"other_{number}")
    assert [policy.name for policy in viewer.get("/").context["policies"]] == ["other_0", "other_1"]
    second = viewer.get("/?page=2")
    assert [policy.name for policy in second.context["policies"]] == ["other_2", "rl_v3"]
    assert "3 to 4 of 4" in words(viewer, "/?page=2")
    assert [policy.name for policy in viewer.get("/?name=RL").context["policies"]] == ["rl_v3"]
    for query in ("page=x", "page=99", "name=%00", "show=other", "name=" + "x" * 60):
        assert viewer.get(f"/?{query}").status_code == 200


@pytest.mark.parametrize(("show", "found"), [("active", ["b"]), ("disabled", ["c"]), ("failing", ["d"])])
def test_policies_by_state(viewer, policy, show, found):
    b, c, d = (PolicyStore.objects.create(name=name) for name in "bcd")
    running(b)
    PolicyStore.objects.filter(pk=c.pk).update(enabled=False)
    PolicyStore.objects.filter(pk=d.pk).update(schedule_error="ppo.gamma")
    assert [policy.name for policy in viewer.get(f"/?show={show}").context["policies"]] == found


def test_the_rate_is_of_the_last_fifty_runs(viewer, policy):
    now = timezone.now()
    for number in range(60):
        run = finished_run(policy, status="failed" if number < 12 else "succeeded")
        TrainingRun.objects.filter(pk=run.pk).update(finished_at=now - timedelta(hours=60 - number))
    running(policy)
    html = viewer.get("/").content.decode()
    assert 'aria-label="48 of the last 50 runs succeeded"' in html
    assert '<span class="rate">96 %</span>' in html


def test_a_record_is_drawn_with_the_newest_at_the_end():
    record = Record("fs")
    assert (record.failed_path, record.succeeded_path) == ("M97 0v14", "M99 3v8")


SIZES = {"ppo": {"num_envs": 4, "rollout_length": 16}, "environment": {"episode_length": 32}}


def test_a_run_shows_how_far_how_well_how_fast_and_how_long_still(viewer, policy, streams):
    now = timezone.now()
    run = running(policy, started_at=now - timedelta(seconds=10), heartbeat_at=now, config=SIZES, episodes_done=1)
    progress.publish(run, {"episode": 2, "episodes": 8, "reward": 0.5, "avg_reward": 0.25, "environment_steps": 256})
    for url in ("/", "/policies/rl_v3/"):
        text = words(viewer, url)
        assert "Episode 2 of 8 Reward so far 0.25 Steps a second 2" in text
        assert re.search(r"Time left (2[89]|30|31)\.\d s", text)
        assert '<progress value="0.2500" max="1"' in viewer.get(url).content.decode()


def test_between_episodes_iterations_tell_how_far_it_is(policy, streams):
    run = running(policy, started_at=timezone.now(), config=SIZES, iterations_done=3, episodes_done=1)
    found = shown(TrainingRun.objects.watched().get(pk=run.pk), None, {})
    assert (found.steps, found.share) == (1024, 192 / 1024)


@pytest.mark.parametrize(
    "config", [{}, [], {"ppo": 3}, {"ppo": {"num_envs": "x"}, "environment": {"episode_length": -1}}]
)
def test_an_odd_snapshot_is_no_error(viewer, policy, config):
    running(policy, config=config, episodes_done=2, started_at=timezone.now())
    assert "Episode 2 of 8" in words(viewer, "/")


def test_what_a_page_fetches_again_is_what_changes(viewer, policy):
    again = viewer.get("/policies/rl_v3/", headers={"HX-Request": "true"}).content.decode()
    assert 'id="state"' in again
    assert 'id="settings"' not in again
    assert 'id="charts"' not in again


@pytest.mark.parametrize("name", [IMAGE, END_OF_SCRIPT])
def test_markup_is_text_wherever_it_comes_from(viewer, policy, streams, name, django_user_model):
    viewer.force_login(django_user_model.objects.create_superuser("root"))
    PolicyStore.objects.update(name=name, schedule_error=IMAGE)
    policy.refresh_from_db(fields=["name"])
    finished_run(policy, status="failed", error=END_OF_SCRIPT + IMAGE)
    run = running(policy, started_at=timezone.now())
    progress.publish(run, {"episode": IMAGE, "avg_reward": END_OF_SCRIPT, "environment_steps": [IMAGE]})
    policy_url = reverse("dashboard:policy", args=[name])
    actions = [f"{policy_url}{what}/" for what in ("settings", "train", "enable", "disable")]
    for url in ("/", f"/?name={quote(name)}", policy_url, *actions, f"/runs/{run.run_id}/cancel/"):
        html = viewer.get(url).content.decode()
        assert viewer.get(url).status_code == 200
        assert IMAGE not in html
        assert END_OF_SCRIPT not in html
        assert "&lt;" in html
