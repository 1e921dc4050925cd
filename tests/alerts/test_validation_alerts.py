"""Alerts about validations and about the versions that the gate holds back."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.alerts.kinds import Kind
from rl_training.models import PolicyStore, PolicyVersion, Validation
from tests.stored import deploy, walked_forward

pytestmark = pytest.mark.django_db


def hold_back(version, reason="its recipe is inconclusive, by validation abc"):
    PolicyVersion.objects.filter(pk=version.pk).update(held_back=reason)


def test_version_that_is_held_back_opens_an_alert_until_it_is_live(watched):
    watched.rule(Kind.VERSION_HELD_BACK)
    version = watched.make_version(0.1)
    watched.opens_and_resolves(
        "rl_v3: the newest version is held back",
        "Version 1 is held back: its recipe is inconclusive, by validation abc. Promote it all the same, or change",
        lambda: hold_back(version),
        lambda: deploy(version),
    )


@pytest.mark.parametrize("change", [{"promotion": "manual"}, {"promotion": "newest"}])
def test_version_is_not_held_back_where_the_gate_does_not_decide(watched, change):
    watched.rule(Kind.VERSION_HELD_BACK)
    hold_back(watched.make_version(0.1))
    assert watched.round() == ["open"]
    PolicyStore.objects.update(**change)
    assert watched.round() == ["resolved"]


def test_earlier_version_that_was_held_back_opens_no_alert(watched):
    watched.rule(Kind.VERSION_HELD_BACK)
    hold_back(watched.make_version(0.1))
    watched.make_version(0.2)
    assert watched.round() == []


def end(validation):
    columns = {"ended_at": validation.finished_at, "ended_because": "its account fell behind flat"}
    Validation.objects.filter(pk=validation.pk).update(**columns)


def test_ended_validation_opens_an_alert_until_what_is_live_changes(watched):
    watched.rule(Kind.VALIDATION_ENDED)
    version = watched.make_version(0.1)
    deploy(version, at=watched.now - timedelta(days=1))
    validation = walked_forward(watched.policy)
    watched.opens_and_resolves(
        "rl_v3: a validation ended",
        "its account fell behind flat. Version 1 stays live, and no new version goes live by itself. Go flat, or",
        lambda: end(validation),
        lambda: deploy(version, at=validation.finished_at + timedelta(seconds=1)),
    )


def test_later_verdict_resolves_the_alert_about_an_ended_validation(watched):
    watched.rule(Kind.VALIDATION_ENDED)
    end(walked_forward(watched.policy))
    assert watched.round() == ["open"]
    walked_forward(watched.policy, "inconclusive")
    assert watched.round() == ["resolved"]


def test_failed_walk_forward_opens_an_alert_until_the_next_one(watched):
    watched.rule(Kind.VALIDATION_FAILED)
    watched.opens_and_resolves(
        "rl_v3: a validation failed",
        "failed: fold 2: prices.csv is missing. Start another one when the cause is gone; it is a further trial.",
        lambda: walked_forward(watched.policy, "", error="fold 2: prices.csv is missing"),
        lambda: walked_forward(watched.policy, "", status="queued", finished_at=None),
    )


def test_failed_monitoring_says_that_the_validation_stands(watched):
    watched.rule(Kind.VALIDATION_FAILED)
    validation = walked_forward(watched.policy)
    walked_forward(watched.policy, monitors=validation, status="failed", error="no bars")
    assert watched.round() == ["open"]
    assert "failed: no bars. The monitored validation still stands." in watched.receiver.messages[0]["message"]


def queries(watched):
    with CaptureQueriesContext(connection) as captured:
        watched.round()
    return len(captured)


def test_number_of_queries_does_not_grow_with_policies_and_validations(watched):
    kinds = (Kind.VERSION_HELD_BACK, Kind.VALIDATION_ENDED, Kind.VALIDATION_FAILED)
    for kind in kinds:
        watched.rule(kind)
    before = queries(watched)
    for number in range(3):
        policy = PolicyStore.objects.create(name=f"other_{number}")
        policy.alert_rules.exclude(kind__in=kinds).delete()
        walked_forward(policy)
        walked_forward(policy, "inconclusive")
    assert queries(watched) == before
