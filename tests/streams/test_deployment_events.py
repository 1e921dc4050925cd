"""Events of deployments: on their stream, replayed, purged, and printed like those of runs."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from rl_training.models import Deployment, TrainingEvent
from rl_training.streams import relay, retention
from rl_training.versions.changes import Action, Author, Change
from rl_training.versions.deployments import deploy
from tests.api_clients import client_of, user_of
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
STREAM = "rl_v3.deployment.changed"


@pytest.fixture
def deployment(policy, streams, django_capture_on_commit_callbacks) -> Deployment:
    version = version_of(finished_run(policy))
    with django_capture_on_commit_callbacks(execute=True):
        return deploy(policy, Change(Action.PROMOTE, "It is better.", version), Author.of(user_of("admin")))


def test_change_is_on_its_stream_after_the_commit(deployment, streams):
    [(_, entry)] = streams.xrange(STREAM)
    assert entry.keys() == {"event_id", "event_type", "trace_id", "timestamp", "payload"}
    assert (entry["event_type"], entry["trace_id"]) == (STREAM, f"deployment-{deployment.pk}")
    assert json.loads(entry["payload"])["version"] == 1
    assert TrainingEvent.objects.get().published_at is not None


def test_lost_entry_is_replayed(deployment, streams):
    streams.flushall()
    retention.detect_loss(timezone.now())
    assert retention.replay() == 1
    assert streams.xlen(STREAM) == 1


def test_unpublished_event_is_relayed_later(deployment, streams):
    streams.delete(STREAM, relay.entries_key(STREAM))
    TrainingEvent.objects.update(published_at=None)
    relay.relay_unpublished(timezone.now() + timedelta(minutes=5))
    assert streams.xlen(STREAM) == 1


def test_old_event_is_purged_and_its_deployment_stays(deployment, streams):
    past = timezone.now() - timedelta(days=40)
    TrainingEvent.objects.update(timestamp=past, published_at=past)
    assert retention.purge(timezone.now()) == 1
    assert (streams.xlen(STREAM), TrainingEvent.objects.count(), Deployment.objects.count()) == (0, 0, 1)


def test_command_prints_deployment_events(deployment, capsys):
    call_command("training_events", "rl_v3")
    printed = json.loads(capsys.readouterr().out)
    assert (printed["event_type"], printed["payload"]["reason"]) == (STREAM, "It is better.")


def test_api_and_admin_show_deployment_events(deployment, admin_client):
    [event] = client_of("viewer").get("/api/v1/events/").json()["results"]
    assert (event["run_id"], event["deployment"]) == (None, deployment.pk)
    response = admin_client.get("/admin/rl_training/trainingevent/", {"policy": "rl_v3"})
    assert response.context["cl"].result_count == 1
