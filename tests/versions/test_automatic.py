"""Automatic promotion of the version that a run makes."""

import pytest

from rl_training.models import Deployment, Proposal, TrainingRun
from rl_training.runs import lifecycle
from rl_training.versions.automatic import promote_newest
from rl_training.versions.live import decided
from tests.active_runs import claimed_run
from tests.test_totals import VERSION

pytestmark = pytest.mark.django_db


@pytest.fixture
def newest(policy):
    policy.promotion = "newest"
    policy.save_settings()
    return policy


def succeed(policy, on_version=promote_newest):
    run = claimed_run(policy)
    version = lifecycle.succeed(run, lifecycle.Outcome({}, VERSION | {"artifact": run.run_id}), on_version)
    assert version is not None
    return version


def live(policy):
    return [deployment.version.number for deployment in policy.deployments.order_by("at")]


def test_new_version_is_live_with_the_end_of_its_run(newest, streams):
    version = succeed(newest)
    deployment = Deployment.objects.get()
    assert (deployment.version, deployment.actor, deployment.pinned) == (version, "gate", False)
    assert deployment.reason == f"promotion is newest: run {version.run.run_id} made version 1."
    assert decided(deployment) == "promoted without a verdict"
    succeed(newest)
    assert live(newest) == [1, 2]


def test_version_of_a_manual_policy_is_not_promoted(policy, streams):
    succeed(policy)
    assert live(policy) == []


def test_setting_at_the_end_of_the_run_decides(newest, streams):
    run = claimed_run(newest)
    newest.promotion = "manual"
    newest.save_settings()
    lifecycle.succeed(run, lifecycle.Outcome({}, VERSION), promote_newest)
    assert live(newest) == []


@pytest.mark.parametrize("action", ["pin", "roll_back"])
def test_pinned_deployment_stays(newest, streams, versions, change, action):
    change("promote", versions[0])
    change("promote", versions[1])
    change(action, versions[0])
    succeed(newest)
    assert live(newest) == [1, 2, 1]
    change("unpin")
    succeed(newest)
    assert live(newest)[-1] == 5


def test_error_in_the_promotion_leaves_the_run_running(policy, streams):
    def fail(version):
        raise RuntimeError("no promotion")

    with pytest.raises(RuntimeError):
        succeed(policy, fail)
    assert TrainingRun.objects.get().status == "running"
    assert not policy.versions.exists()


def test_newer_proposal_of_the_gate_replaces_the_one_before(newest, streams, settings):
    settings.PROMOTION_NEEDS_TWO = True
    succeed(newest)
    succeed(newest)
    assert list(Proposal.objects.order_by("pk").values_list("version__number", "status", "actor")) == [
        (1, "superseded", "gate"),
        (2, "waiting", "gate"),
    ]
    assert not Deployment.objects.exists()
