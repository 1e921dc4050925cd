"""Changes of what is live: their targets, their order, their events, and refusals."""

from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.models import ComparedVersion, Comparison, Deployment, PolicyStore, TrainingEvent
from rl_training.versions.changes import (
    ChangeRefusedError,
    EvidenceError,
    LiveChangedError,
    NotDeployableError,
    ReasonError,
)
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy as store_deployment
from tests.stored import finished_run

pytestmark = pytest.mark.django_db


def live(policy):
    deployment = policy.deployments.first()
    return (deployment.version.number if deployment.version else None), deployment.pinned


def test_promoted_version_is_live_with_actor_reason_and_predecessor(policy, versions, change):
    first, second = change("promote", versions[0]), change("promote", versions[1], reason="  It earns more. ")
    assert live(policy) == (2, False)
    assert (second.actor, second.actor_name, second.reason) == ("user", "admin", "It earns more.")
    assert second.previous == first
    assert second.at > first.at


def test_event_of_a_change_is_written_with_it(policy, versions, change):
    change("promote", versions[0])
    deployment = change("pin", versions[2], reason="Keep it.")
    event = TrainingEvent.objects.get(deployment=deployment)
    assert (event.event_type, event.trace_id) == ("rl_v3.deployment.changed", f"deployment-{deployment.pk}")
    assert {name: value for name, value in event.payload.items() if name not in ("at", "timestamp")} == {
        "deployment": deployment.pk,
        "policy": "rl_v3",
        "action": "pin",
        "version": 3,
        "sha256": "b" * 64,
        "pinned": True,
        "previous_version": 1,
        "actor": "user",
        "actor_name": "admin",
        "approved_by": "",
        "reason": "Keep it.",
        "comparison": None,
        "validation": None,
        "arm_comparison": None,
    }


def compared(*versions, status="succeeded"):
    comparison = Comparison.objects.create(size=len(versions), market="sp500", status=status)
    for place, version in enumerate(versions):
        ComparedVersion.objects.create(comparison=comparison, version=version, place=place)
    return comparison


def test_comparison_is_kept_as_the_evidence_of_a_change(policy, versions, change):
    comparison = compared(*versions[:2])
    deployment = change("promote", versions[1], comparison=comparison)
    assert Deployment.objects.get(pk=deployment.pk).comparison == comparison
    assert TrainingEvent.objects.get(deployment=deployment).payload["comparison"] == comparison.comparison_id


def test_comparison_of_other_versions_or_without_a_result_is_no_evidence(policy, versions, change):
    with pytest.raises(EvidenceError, match="does not compare version 3 of rl_v3"):
        change("promote", versions[2], comparison=compared(*versions[:2]))
    with pytest.raises(EvidenceError, match="has no result: it is running"):
        change("promote", versions[0], comparison=compared(*versions[:2], status="running"))
    assert not policy.deployments.exists()


def test_unpin_keeps_the_live_version(policy, versions, change):
    change("pin", versions[0])
    change("unpin")
    assert live(policy) == (1, False)


def test_pin_without_a_version_pins_the_live_one(policy, versions, change):
    change("promote", versions[1])
    change("pin")
    assert live(policy) == (2, True)


def test_flat_policy_has_no_live_version_and_stays_flat(policy, versions, change):
    change("promote", versions[1])
    change("go_flat")
    assert live(policy) == (None, True)


def test_rollback_goes_to_the_last_target_that_differs_from_the_live_one(policy, versions, change):
    change("promote", versions[0])
    change("promote", versions[1])
    change("pin", versions[1])
    change("roll_back")
    assert live(policy) == (1, True)


def test_rollback_from_flat_brings_the_last_version_back(policy, versions, change):
    change("promote", versions[1])
    change("go_flat")
    change("roll_back")
    assert live(policy) == (2, True)


def test_rollback_goes_to_a_named_deployment_or_version(policy, versions, change):
    change("promote", versions[0])
    change("go_flat")
    flat = policy.deployments.first()
    change("promote", versions[2])
    change("roll_back", to=flat)
    assert live(policy) == (None, True)
    change("roll_back", versions[0])
    assert live(policy) == (1, True)


@pytest.mark.parametrize(
    ("action", "number", "error", "message"),
    [
        ("promote", 1, ChangeRefusedError, "Version 1 of rl_v3 is live."),
        ("promote", None, NotDeployableError, "Name a version: nothing is live."),
        ("unpin", None, ChangeRefusedError, "rl_v3 is not pinned."),
        ("roll_back", None, NotDeployableError, "rl_v3 has no earlier deployment with another target."),
        ("roll_back", 2, NotDeployableError, "Version 2 of rl_v3 was never live: promote it instead."),
        ("roll_back", 1, ChangeRefusedError, "Version 1 of rl_v3 is live."),
    ],
)
def test_change_without_an_effect_or_a_target_is_refused(policy, versions, change, action, number, error, message):
    change("promote", versions[0])
    with pytest.raises(error, match=message):
        change(action, versions[number - 1] if number else None)
    assert Deployment.objects.count() == 1


def test_flat_policy_cannot_go_flat(policy, change):
    with pytest.raises(ChangeRefusedError, match=r"Nothing of rl_v3 is live\."):
        change("go_flat")


def test_version_of_another_policy_is_refused(versions, change):
    other = version_of(finished_run(PolicyStore.objects.create(name="other")))
    with pytest.raises(NotDeployableError, match="other version 1 is no version of rl_v3"):
        change("promote", other)


@pytest.mark.parametrize("reason", ["", " \n", "x" * 2001])
def test_empty_or_endless_reason_is_refused(versions, change, reason):
    with pytest.raises(ReasonError):
        change("promote", versions[0], reason=reason)


def test_change_of_an_unseen_state_is_refused(versions, change):
    first = change("promote", versions[0], seen=0)
    with pytest.raises(LiveChangedError):
        change("promote", versions[1], seen=0)
    change("promote", versions[1], seen=first.pk)


def test_deployment_after_a_clock_set_back_is_later_than_the_previous(policy, versions, change):
    ahead = timezone.now() + timedelta(days=1)
    store_deployment(versions[0], at=ahead)
    assert change("promote", versions[1]).at == ahead + timedelta(microseconds=1)
