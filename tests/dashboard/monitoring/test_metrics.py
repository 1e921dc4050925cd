"""Tests of `/metrics`."""

import shutil
import subprocess
from datetime import timedelta

import pytest
import redis
from django.contrib.auth.models import Group, Permission
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from rl_training.alerts.models import Alert, AlertRule
from rl_training.models import (
    PolicyStore,
    PolicyVersion,
    TrainingEvent,
    TrainingRun,
)
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle
from tests.active_runs import claimed_run as started
from tests.api_clients import token_of
from tests.dashboard.monitoring.conftest import TOKEN, follow_market, read_storage
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run, walked_forward

pytestmark = pytest.mark.django_db


def values(response) -> dict[str, float]:
    """Return the value of each sample by its name and labels, as `name{label=value}`."""
    assert response.status_code == 200
    found = {}
    for family in text_string_to_metric_families(response.content.decode()):
        for name, labels, value, *_ in family.samples:
            shown = ",".join(f"{label}={labels[label]}" for label in sorted(labels))
            found[name.removeprefix("quantum_trader_") + (f"{{{shown}}}" if shown else "")] = value
    return found


def test_runs_durations_and_rewards_are_counted_by_status(history, scrape):
    found = values(scrape())
    assert found["runs_total{policy=rl_v3,status=succeeded}"] == 2
    assert found["runs_total{policy=rl_v3,status=failed}"] == 1
    assert found["run_duration_seconds_bucket{le=+Inf,status=failed}"] == 1
    assert found["run_duration_seconds_count{status=succeeded}"] == 2
    rewards = {
        bound: found[f"run_reward_bucket{{le={bound},status=succeeded}}"] for bound in ("-0.5", "-0.2", "0.05", "+Inf")
    }
    assert rewards == {"-0.5": 0, "-0.2": 1, "0.05": 2, "+Inf": 2}
    assert found["run_reward_sum{status=succeeded}"] == pytest.approx(-0.26)
    assert found["run_reward_count{status=succeeded}"] == 2


def test_used_storage_and_expected_date_of_a_full_disk_are_reported(history, scrape):
    read_storage()
    found = values(scrape())
    assert found["storage_bytes{part=database}"] == 250
    assert (found["disk_bytes{disk=STATE_DIR}"], found["disk_free_bytes{disk=STATE_DIR}"]) == (1000, 500)
    assert found["disk_full_seconds{disk=STATE_DIR}"] == pytest.approx(5 * 86_400, rel=0.01)


def test_policy_name_with_quotes_and_line_breaks_is_escaped(history, scrape):
    PolicyStore.objects.filter(pk=history.pk).update(name='not a "name"\n\\')
    assert values(scrape())['runs_total{policy=not a "name"\n\\,status=succeeded}'] == 2


def test_queued_runs_running_runs_and_outbox_are_reported(history, scrape):
    other = PolicyStore.objects.create(name="other", enabled=False)
    lifecycle.heartbeat(started(other), environment_steps=5000)
    TrainingRun.objects.filter(policy=other).update(started_at=timezone.now() - timedelta(seconds=10))
    TrainingEvent.objects.update(published_at=timezone.now())
    TrainingEvent.objects.filter(run__policy=other).update(
        published_at=None, timestamp=timezone.now() - timedelta(seconds=30)
    )
    found = values(scrape())
    assert (found["queued_runs"], found["running_runs"]) == (1, 1)
    assert 300 <= found["oldest_queued_seconds"] < 330
    assert found["run_steps_per_second{policy=other}"] == pytest.approx(500, rel=0.5)
    assert found["run_environment_steps{policy=other}"] == 5000
    assert found["outbox_events"] == 1
    assert 30 <= found["outbox_lag_seconds"] < 60
    assert (found["policies{enabled=true}"], found["policies{enabled=false}"]) == (1, 1)


def test_heartbeats_and_queue_lengths_are_reported(policy, scrape, streams):
    heartbeats.record("beat")
    heartbeats.record("alerts")
    streams.rpush("training", "message")
    found = values(scrape())
    assert 0 <= found["beat_tick_age_seconds"] < 10
    seen = [found[f"processes_seen{{kind={kind}}}"] for kind in ("beat", "worker", "alerts")]
    assert seen == [1, 0, 1]
    assert (found["queue_length{queue=training}"], found["queue_length{queue=alerts}"]) == (1, 0)
    assert (found["redis_up"], found["database_up"]) == (1, 1)


def test_age_of_the_newest_bar_and_failures_are_reported(policy, scrape, streams):
    follow_market(policy, newest_at=timezone.now() - timedelta(hours=3), failures=4)
    found = values(scrape())
    assert 7200 <= found["newest_bar_age_seconds{policy=rl_v3}"] < 7230
    assert found["market_failures{policy=rl_v3}"] == 4


def test_open_alerts_are_counted_by_kind_and_acknowledgement(policy, scrape, streams):
    rule = AlertRule.objects.get_or_create(policy=policy, kind="overdue")[0]
    Alert.objects.create(rule=rule, policy=policy, kind="overdue", message="late", resolved_at=timezone.now())
    Alert.objects.create(rule=rule, policy=policy, kind="overdue", message="late", acknowledged_at=timezone.now())
    assert values(scrape())["open_alerts{acknowledged=true,kind=overdue}"] == 1


def test_without_redis_the_other_metrics_are_reported(history, scrape, monkeypatch):
    unreachable = redis.Redis.from_url("unix:///nonexistent/redis.sock")
    monkeypatch.setattr(heartbeats, "client", lambda: unreachable)
    found = values(scrape())
    assert (found["redis_up"], found["database_up"]) == (0, 1)
    assert "beat_tick_age_seconds" not in found
    assert found["queued_runs"] == 1


def test_requests_are_counted_by_view_and_never_by_url(client, scrape):
    before = values(scrape())
    client.get("/healthz")
    client.get("/no/such/page/s3cret")
    client.generic("BREW", "/healthz")
    found = values(scrape())

    def more(name: str) -> float:
        return found[name] - before.get(name, 0)

    assert more("http_requests_total{method=GET,status=200,view=healthz}") == 1
    assert more("http_requests_total{method=GET,status=404,view=none}") == 1
    assert more("http_requests_total{method=other,status=405,view=healthz}") == 1
    assert more("http_request_duration_seconds_count{method=GET,view=healthz}") == 1
    assert not [name for name in found if "s3cret" in name or "BREW" in name]


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (None, 401),
        ("Bearer wrong", 401),
        ("Bearer ", 401),
        ("Token wrong", 401),
        ("Token", 401),
        (f"Bearer {TOKEN}", 200),
    ],
)
def test_metrics_require_the_token(authorization, status, client, settings, streams):
    settings.METRICS_TOKEN = TOKEN
    response = client.get("/metrics", headers={"Authorization": authorization} if authorization else {})
    assert response.status_code == status
    assert "WWW-Authenticate" in response if status == 401 else response["Cache-Control"]


def test_without_metrics_token_every_bearer_token_is_refused(client, settings):
    settings.METRICS_TOKEN = ""
    for token in ("", "x"):
        assert client.get("/metrics", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_user_needs_permission_to_see_metrics(client, django_user_model, streams):
    user = django_user_model.objects.create_user("monitor")
    authorization = {"Authorization": f"Token {token_of(user)}"}
    assert client.get("/metrics", headers=authorization).status_code == 403
    group = Group.objects.get_or_create(name="viewer")[0]
    group.permissions.add(Permission.objects.get(codename="view_trainingrun"))
    user.groups.add(group)
    assert client.get("/metrics", headers=authorization).status_code == 200
    client.force_login(user)
    assert client.get("/metrics").status_code == 200
    assert client.post("/metrics").status_code in (403, 405)


def test_held_back_versions_and_walk_forwards_are_reported(policy, scrape):
    version = version_of(finished_run(policy))
    assert values(scrape())["version_held_back{policy=rl_v3}"] == 0
    PolicyVersion.objects.update(held_back="its recipe is refused")
    walked_forward(policy, "", status="running", finished_at=None)
    found = values(scrape())
    assert found["version_held_back{policy=rl_v3}"] == 1
    statuses = [found[f"validations_under_way{{status={status}}}"] for status in ("queued", "running")]
    assert statuses == [0, 1]
    deploy(version)
    assert values(scrape())["version_held_back{policy=rl_v3}"] == 0
    PolicyStore.objects.update(promotion="manual")
    assert "version_held_back{policy=rl_v3}" not in values(scrape())


def test_scrape_makes_at_most_nineteen_queries(history, scrape, django_assert_max_num_queries):
    scrape()
    read_storage()
    with django_assert_max_num_queries(19):
        scrape()


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's package prometheus) is not installed")
def test_promtool_accepts_the_metrics(history, scrape):
    scrape()
    lifecycle.heartbeat(started(PolicyStore.objects.create(name="other")), environment_steps=5000)
    heartbeats.record("beat")
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape().content, capture_output=True, timeout=30, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_live_versions_are_reported_by_number_and_age(history, scrape):
    PolicyStore.objects.create(name="other")
    version = history.versions.get(number=2)
    version.created_at = timezone.now() - timedelta(days=2)
    version.save()
    deploy(version, at=timezone.now() - timedelta(hours=1))
    found = values(scrape())
    assert (found["live_version{policy=rl_v3}"], found["live_version{policy=other}"]) == (2, 0)
    assert found["live_version_age_seconds{policy=rl_v3}"] == pytest.approx(172_800, abs=60)
    assert found["deployment_age_seconds{policy=rl_v3}"] == pytest.approx(3_600, abs=60)
    assert "live_version_age_seconds{policy=other}" not in found
