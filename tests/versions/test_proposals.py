"""Proposals, and the rule that two users decide."""

import pytest
from django.contrib.auth.models import User

from rl_training.models import Deployment, Proposal
from rl_training.versions import proposals
from rl_training.versions.changes import Action, Actor, Author, Change, LiveChangedError
from rl_training.versions.deployments import SecondUserNeededError, deploy
from rl_training.versions.proposals import AlreadyDecidedError, AlreadyProposedError, NotPermittedError
from tests.api_clients import user_of

pytestmark = pytest.mark.django_db
COMMAND = Author(Actor.COMMAND, "root")


@pytest.fixture
def two(settings):
    settings.PROMOTION_NEEDS_TWO = True


@pytest.fixture
def admins(policy):
    first = user_of("admin")
    second = User.objects.create_user("second")
    second.groups.set(first.groups.all())
    return first, second


def promotion(version, reason="It is better."):
    return Change(Action.PROMOTE, reason, version)


def request(version, author):
    found = proposals.request(version.policy, promotion(version), author)
    assert isinstance(found, Proposal)
    return found


def state(proposal):
    proposal.refresh_from_db()
    return proposal.status


def test_operator_proposes_and_an_admin_approves(versions, admins):
    proposal = request(versions[1], Author.of(user_of("operator")))
    assert not Deployment.objects.exists()
    deployment = proposals.approve(proposal, admins[0])
    assert isinstance(deployment, Deployment)
    assert (deployment.version, deployment.actor_name, deployment.approved_by) == (versions[1], "operator", "admin")
    proposal.refresh_from_db()
    assert (proposal.status, proposal.decided_by, proposal.deployment) == ("approved", "admin", deployment)


def test_operator_may_neither_approve_nor_reject(versions, admins):
    proposal = request(versions[1], Author.of(user_of("operator")))
    for decide in (proposals.approve, proposals.reject):
        with pytest.raises(NotPermittedError, match=r"needs the permission rl_training\.add_deployment"):
            decide(proposal, user_of("operator"))
    assert state(proposal) == "waiting"


def test_viewer_may_not_even_propose(versions):
    with pytest.raises(NotPermittedError):
        proposals.request(versions[0].policy, promotion(versions[0]), Author.of(user_of("viewer")))


def test_admin_decides_alone_unless_two_are_needed(versions, admins, settings):
    assert isinstance(proposals.request(versions[0].policy, promotion(versions[0]), Author.of(admins[0])), Deployment)
    settings.PROMOTION_NEEDS_TWO = True
    request(versions[1], Author.of(admins[0]))


@pytest.mark.parametrize("action", ["promote", "pin", "unpin", "roll_back", "go_flat"])
def test_no_action_takes_effect_without_a_second_user(versions, admins, change, settings, action):
    change("promote", versions[0])
    change("pin", versions[1])
    settings.PROMOTION_NEEDS_TWO = True
    wanted = Change(Action(action), "Because.", versions[2] if action in ("promote", "pin") else None)
    policy = versions[0].policy
    with pytest.raises(SecondUserNeededError):
        deploy(policy, wanted, Author.of(admins[0]))
    proposal = proposals.request(policy, wanted, Author.of(admins[0]))
    assert isinstance(proposal, Proposal)
    with pytest.raises(NotPermittedError, match="another user has to approve it"):
        proposals.approve(proposal, User.objects.get(pk=admins[0].pk))
    assert Deployment.objects.count() == 2
    assert isinstance(proposals.approve(proposal, admins[1]), Deployment)
    assert Deployment.objects.count() == 3


def test_proposal_of_a_command_needs_two_users(two, versions, admins):
    proposal = request(versions[0], COMMAND)
    assert proposals.approve(proposal, admins[0]) == proposal
    assert state(proposal) == "waiting"
    with pytest.raises(NotPermittedError):
        proposals.approve(proposal, admins[0])
    deployment = proposals.approve(proposal, admins[1])
    assert isinstance(deployment, Deployment)
    assert (deployment.actor, deployment.actor_name) == ("command", "root")
    assert deployment.approved_by == "admin and second"


def test_user_who_triggered_the_run_does_not_approve_the_gates_proposal(two, versions, admins):
    proposal = request(versions[0], Author(Actor.GATE, user=admins[0]))
    with pytest.raises(NotPermittedError):
        proposals.approve(proposal, admins[0])
    assert isinstance(proposals.approve(proposal, admins[1]), Deployment)


def test_guard_acts_at_once(two, versions, change, settings):
    settings.PROMOTION_NEEDS_TWO = False
    change("promote", versions[0])
    settings.PROMOTION_NEEDS_TWO = True
    flat = Change(Action.GO_FLAT, "Drawdown of 20 %.")
    assert deploy(versions[0].policy, flat, Author(Actor.GUARD)).version is None


def test_change_of_what_is_live_supersedes_waiting_proposals(versions, admins, change):
    proposal = request(versions[1], Author.of(user_of("operator")))
    change("promote", versions[0])
    assert state(proposal) == "superseded"
    with pytest.raises(AlreadyDecidedError, match="propose it again"):
        proposals.approve(proposal, admins[0])


def test_approval_of_a_proposal_for_another_state_is_refused(versions, admins, change):
    proposal = request(versions[1], Author.of(user_of("operator")))
    change("promote", versions[0])
    Proposal.objects.update(status="waiting")
    with pytest.raises(LiveChangedError, match="propose it again"):
        proposals.approve(proposal, admins[0])


def test_same_change_is_proposed_once(versions):
    proposal = request(versions[1], Author.of(user_of("operator")))
    with pytest.raises(AlreadyProposedError, match=f"Proposal {proposal.pk} is for the same change"):
        request(versions[1], Author.of(user_of("operator")))
    request(versions[2], Author.of(user_of("operator")))


def test_proposer_withdraws_and_an_admin_rejects(versions, admins):
    first, second = (request(version, Author.of(user_of("operator"))) for version in versions[:2])
    with pytest.raises(NotPermittedError, match="Only the user who proposed it"):
        proposals.withdraw(first, admins[0])
    proposals.withdraw(first, user_of("operator"))
    proposals.reject(second, admins[0])
    assert (state(first), state(second)) == ("withdrawn", "rejected")
    with pytest.raises(AlreadyDecidedError, match="is withdrawn already"):
        proposals.approve(first, admins[0])


def test_proposed_rollback_to_flat_takes_the_policy_flat(versions, admins, change):
    change("promote", versions[0])
    change("go_flat")
    flat = versions[0].policy.deployments.first()
    change("promote", versions[1])
    wanted = Change(Action.ROLL_BACK, "Back to flat.", to=flat)
    proposal = proposals.propose(versions[0].policy, wanted, Author.of(user_of("operator")))
    deployment = proposals.approve(proposal, admins[0])
    assert isinstance(deployment, Deployment)
    assert (deployment.action, deployment.version, deployment.pinned) == ("roll_back", None, True)
