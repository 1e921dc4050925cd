"""The version that is live, or was live at a given time."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.models import Deployment, PolicyStore
from rl_training.versions.live import live_at, live_now, live_of, sentence
from tests.dashboard.pages.page_rows import version_of
from tests.query_plans import steps_of_plan
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 5, 3, 12, tzinfo=UTC)


def test_deployment_is_in_force_from_its_time_to_the_next(policy, versions):
    first, second = deploy(versions[0], at=NOON), deploy(versions[1], at=NOON + timedelta(days=1))
    moments = [NOON - timedelta(microseconds=1), NOON, NOON + timedelta(hours=23), NOON + timedelta(days=1)]
    assert [live_at(policy.pk, moment) for moment in moments] == [None, first, first, second]
    assert live_now(policy.pk) == second


def test_newest_deployments_of_policies_are_read_in_one_query(policy, versions, django_assert_num_queries):
    other = PolicyStore.objects.create(name="other")
    PolicyStore.objects.create(name="never_deployed")
    deploy(versions[0])
    expected = {policy.pk: deploy(versions[1]), other.pk: deploy(version_of(finished_run(other)))}
    with django_assert_num_queries(1):
        found = live_of()
        assert [(one.version and one.version.number, one.origin.reason) for one in found.values()]
    assert found == expected
    assert live_of([other.pk]) == {other.pk: expected[other.pk]}


def test_version_is_live_since_it_was_promoted_not_since_it_was_pinned(policy, versions, change):
    promoted = change("promote", versions[0], reason="It earns more.")
    pinned = change("pin")
    assert pinned.origin == promoted
    since = f"{promoted.at:%Y-%m-%d %H:%M:%S} UTC"
    assert sentence(pinned) == f"Version 1 is live since {since}, promoted by admin: It earns more. It is pinned."
    assert sentence(change("go_flat", reason="It loses")).endswith("UTC, taken flat by admin: It loses.")
    assert sentence(None) == "Nothing is live: no version was ever promoted."


def test_live_at_a_time_reads_the_index(policy, versions):
    row = {"policy": policy, "action": "promote", "actor": "user", "reason": "It is better."}
    previous = None
    deployments = []
    for minute in range(2000):
        version = versions[minute % 3]
        deployments.append(Deployment(**row, version=version, at=NOON + timedelta(minutes=minute), previous=previous))
        previous = None
    # The chain of predecessors is not tested here; the database requires only that there is one first deployment.
    first = deploy(versions[0], at=NOON - timedelta(days=1))
    for number, deployment in enumerate(deployments):
        deployment.pk = first.pk + 1 + number
        deployment.previous_id = first.pk + number
    Deployment.objects.bulk_create(deployments)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE rl_training_deployment")
    with CaptureQueriesContext(connection) as queries:
        assert live_at(policy.pk, NOON + timedelta(minutes=1000, seconds=30)) == deployments[1000]
    [query] = queries
    steps = [step for step in steps_of_plan(query["sql"]) if "deployment" in step]
    assert any("deployment_one_at_a_time" in step or "USING INDEX" in step for step in steps), steps
