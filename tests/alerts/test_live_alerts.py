"""Alerts about what is live."""

from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.alerts.kinds import Kind
from rl_training.alerts.models import Alert
from rl_training.models import ArmComparison, Deployment, PolicyStore, PolicyVersion
from tests.stored import deploy, stored_comparison

pytestmark = pytest.mark.django_db


def later(watched, **time):
    watched.now += timedelta(**time)


def flat(watched, actor="user"):
    columns = {"action": "go_flat", "actor": actor, "actor_name": "anna", "reason": "It loses.", "at": watched.now}
    Deployment.objects.create(policy=watched.policy, previous=watched.policy.deployments.first(), **columns)


def test_change_by_a_user_opens_an_alert_for_an_hour(watched):
    version = watched.make_version(0.1)
    watched.rule(Kind.LIVE_CHANGED)
    watched.opens_and_resolves(
        "rl_v3: what is live was changed",
        "Version 1 is live since",
        lambda: deploy(version, at=watched.now),
        lambda: later(watched, minutes=61),
    )


def test_second_change_within_the_hour_opens_an_alert_of_its_own(watched):
    version = watched.make_version(0.1)
    watched.rule(Kind.LIVE_CHANGED)
    deploy(version, at=watched.now - timedelta(minutes=1))
    assert [watched.round(), watched.round()] == [["open"], ["open"]]
    flat(watched)
    assert [watched.round(), watched.round()] == [["resolved", "open"], ["resolved", "open"]]
    assert "flat" in Alert.objects.open().get().message


def test_automatic_promotion_opens_no_alert(watched):
    watched.rule(Kind.LIVE_CHANGED)
    flat(watched, actor="gate")
    assert watched.round() == []


def test_policy_that_is_flat_for_a_day_opens_an_alert(watched):
    version = watched.make_version(0.1)
    watched.rule(Kind.NOTHING_LIVE)
    deploy(version, at=watched.now - timedelta(hours=1))
    flat(watched)
    watched.opens_and_resolves(
        "rl_v3: nothing is live",
        "Nothing is live for 25 hours, although the policy has versions. Promote one",
        lambda: later(watched, hours=25),
        lambda: deploy(version, at=watched.now),
    )


def test_policy_without_a_promotion_counts_from_its_first_version(watched):
    watched.rule(Kind.NOTHING_LIVE)
    later(watched, hours=100)
    assert watched.round() == []
    watched.make_version(0.1)
    PolicyVersion.objects.update(created_at=watched.now - timedelta(hours=25))
    assert watched.round() == ["open"]
    PolicyStore.objects.update(enabled=False)
    assert watched.round() == ["resolved"]


def test_live_version_that_is_old_opens_an_alert(watched):
    watched.rule(Kind.LIVE_VERSION_OLD, threshold=7)
    version = watched.make_version(0.1)
    deploy(version, at=timezone.now())
    watched.opens_and_resolves(
        "rl_v3: the live version is old",
        "Version 1 is live and 8 days old; the rule allows 7.",
        lambda: PolicyVersion.objects.update(created_at=watched.now - timedelta(days=8)),
        lambda: flat(watched),
    )


def test_demotion_by_a_guard_opens_an_alert_until_something_else_is_live(watched):
    version = watched.make_version(0.1)
    watched.rule(Kind.DEMOTED)
    deploy(version, at=watched.now - timedelta(hours=1))
    watched.opens_and_resolves(
        "rl_v3: a guard ended what was live",
        "taken flat by a guard (anna): It loses.",
        lambda: flat(watched, actor="guard"),
        lambda: deploy(version, at=watched.now + timedelta(seconds=1)),
    )


def test_verdict_of_a_comparison_opens_an_alert_for_a_day(watched):
    watched.rule(Kind.COMPARISON_ENDED)
    comparison = stored_comparison(watched.policy)

    def ends():
        columns = {"status": "better", "ended_at": watched.now, "ending": "K = 40 reached 33.", "outcome": "Promoted."}
        ArmComparison.objects.filter(pk=comparison.pk).update(**columns)

    text = f"Comparison {comparison} on new bars: K = 40 reached 33. Promoted."
    title = "rl_v3: a comparison on new bars has a verdict"
    watched.opens_and_resolves(title, text, ends, lambda: later(watched, hours=25))
