from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from rl_training.core.run.walk_forward.verdict import WALK_FORWARD
from rl_training.files import artifacts, bars
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun, Validation
from rl_training.runs import lifecycle
from rl_training.validation import accounts, gate
from rl_training.validation.gate import Findings, State, standing_of
from rl_training.versions.changes import Action, Author, Change
from rl_training.versions.deployments import deploy
from tests.api_clients import user_of
from tests.core.run.small_run import MARKET
from tests.validations import request_validation, reversed_bars, succeed_validation

pytestmark = pytest.mark.django_db

VERSION = {"artifact": "a", "sha256": "b", "evaluation": {}}
# Two folds of 100 bars that gained 1 bp per bar, with drawdowns of 10 % and 20 % and a turnover of 0.1 and 0.2 a bar.
FOLDS = [
    {
        "fold": {"begin": 100 * number, "end": 100 * number + 100},
        "log_returns": {WALK_FORWARD: 0.01},
        "performance": {"total_return": 0.01, "max_drawdown": drawdown, "turnover": turnover},
    }
    for number, (drawdown, turnover) in enumerate([(0.1, 10.0), (0.2, 20.0)])
]
GOOD = {"bars": 50, "total_return": 0.005, "max_drawdown": 0.1, "turnover": 5.0}


@pytest.fixture
def validated(policy, tmp_path) -> Iterator[Validation]:
    """The policy's recipe is validated, and its accounts are stored."""
    changes = np.tile([0.0101, -0.0099], 100)[:, None]
    times = np.datetime64("2026-01-01", "s") + np.arange(200) * np.timedelta64(3600, "s")
    name, digest = accounts.store(tmp_path, "rl_v3/accounts", accounts.Accounts((WALK_FORWARD,), times, changes))
    stored: Any = {"accounts": name, "accounts_sha256": digest, "result": {"folds": FOLDS}}
    yield succeed_validation(request_validation(policy), **stored)
    artifacts.remove(name)


def claim_run(policy, **options) -> TrainingRun:
    run = lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False, **options)
    claimed = lifecycle.claim(run.run_id)
    assert claimed is not None
    return claimed


def succeed(policy, evaluation=GOOD, **options) -> PolicyVersion:
    """Let a run of the policy succeed with this evaluation, as a worker does."""
    policy = PolicyStore.objects.get(pk=policy.pk)
    claimed = claim_run(policy, **options)
    findings = gate.examine(claimed, evaluation, MARKET)
    outcome = lifecycle.Outcome({}, VERSION | {"evaluation": evaluation})
    version = lifecycle.succeed(claimed, outcome, lambda version: gate.decide(version, findings))
    assert version is not None
    return version


def live(policy):
    newest = policy.deployments.order_by("-at").first()
    return newest.version.number if newest and newest.version else None


def held_back():
    return PolicyVersion.objects.latest("number").held_back


def test_recipe_without_a_validation_is_not_tried_and_promotes_nothing(policy):
    assert standing_of(policy).state == State.NOT_TRIED
    succeed(policy)
    assert (live(policy), held_back()) == (None, "")


def test_version_of_a_validated_recipe_goes_live_with_its_evidence(policy, validated):
    version = succeed(policy)
    assert standing_of(policy) == gate.Standing(State.VALIDATED, validated)
    deployment = policy.deployments.get()
    assert (deployment.version, deployment.validation, deployment.actor) == (version, validated, "gate")
    assert deployment.reason == (
        f"validation {validated} validated the recipe (p = 0.002), and version 1 passes the guards"
    )


@pytest.mark.parametrize(
    ("evaluation", "reason"),
    [
        (GOOD | {"total_return": -0.6}, "mean log return of "),
        (GOOD | {"max_drawdown": 0.31}, "maximum drawdown of 31.0% is above 30.0%"),
        (GOOD | {"turnover": 21.0}, "turnover of 0.42 per bar is above 0.4"),
        (GOOD | {"total_return": -1.0}, "mean log return is not a finite number"),
    ],
)
def test_version_that_breaks_a_guard_is_held_back_with_the_reason(policy, validated, evaluation, reason):
    succeed(policy, evaluation)
    assert live(policy) is None
    assert held_back().startswith(reason)


def test_user_may_promote_a_version_that_is_held_back(policy, validated):
    version = succeed(policy, GOOD | {"max_drawdown": 0.9})
    deploy(policy, Change(Action.PROMOTE, "I know why.", version), Author.of(user_of("admin")))
    assert live(policy) == 1


def test_version_of_another_recipe_is_held_back(policy, validated):
    succeed(policy, episodes=7)
    assert (live(policy), held_back()) == (None, f"its recipe is not the validated one of validation {validated}")


@pytest.mark.parametrize("verdict", ["refused", "inconclusive"])
def test_version_of_a_recipe_that_is_not_validated_is_held_back(policy, verdict):
    validation = succeed_validation(request_validation(policy), verdict)
    assert standing_of(policy).state == verdict
    succeed(policy)
    assert (live(policy), held_back()) == (None, f"its recipe is {verdict}, by validation {validation}")


def test_validation_that_ended_promotes_nothing_and_what_is_live_stays(policy, validated):
    succeed(policy)
    Validation.objects.update(ended_at=validated.finished_at, ended_because="its account fell behind flat")
    succeed(policy)
    assert (live(policy), standing_of(policy).state) == (1, State.ENDED)
    assert held_back() == f"the validation of its recipe, {validated}, has ended: its account fell behind flat"


def test_validation_expires_when_the_recipe_changes_and_returns_with_it(policy, validated):
    policy.seeds = 1
    policy.save_settings("seeds")
    found = standing_of(policy)
    assert (found.state, found.expired) == (State.NOT_TRIED, validated)
    policy.seeds = 3
    assert standing_of(policy).state == State.VALIDATED


def test_policy_of_the_same_recipe_is_validated_too(policy, validated):
    assert standing_of(PolicyStore.objects.create(name="copy")).state == State.VALIDATED


def test_validation_with_fewer_references_fails_a_stricter_policy(policy, validated):
    policy.must_beat = "all"
    assert standing_of(policy).state == State.INCONCLUSIVE
    policy.must_beat = "flat"
    assert standing_of(policy).state == State.VALIDATED


def test_weaker_validation_is_the_reason_of_a_stricter_policy(policy, validated):
    policy.must_beat = "all"
    policy.save_settings("must_beat")
    succeed(policy)
    reason = f"validation {validated} of its recipe did not have to beat everything that must_beat names now"
    assert held_back() == reason


def test_pinned_deployment_stays_live(policy, validated):
    first = succeed(policy)
    deploy(policy, Change(Action.PIN, "It stays.", first), Author.of(user_of("admin")))
    succeed(policy)
    assert live(policy) == 1


def test_second_user_approves_what_the_gate_proposes(policy, validated, settings):
    settings.PROMOTION_NEEDS_TWO = True
    succeed(policy)
    assert live(policy) is None
    assert policy.proposals.get().validation == validated


@pytest.mark.parametrize(("promotion", "expected"), [("manual", None), ("newest", 1)])
def test_manual_and_newest_promotion_ignore_the_gate(policy, promotion, expected):
    policy.promotion = promotion
    policy.save_settings("promotion")
    succeed(policy)
    assert (live(policy), held_back()) == (expected, "")


def test_version_without_held_out_bars_is_judged_by_the_last_fold(policy, validated):
    succeed(policy, {})
    assert policy.deployments.get().reason.endswith("and the last fold of its newest walk-forward passes the guards")


def test_last_fold_is_that_of_the_walk_forward_that_validates(policy, validated):
    worst = FOLDS[1] | {"performance": {"total_return": -0.9, "max_drawdown": 0.95, "turnover": 900.0}}
    Validation.objects.update(verdict="inconclusive", result={"folds": [worst]})
    validating = request_validation(policy)
    for name in ("result", "accounts", "accounts_sha256"):
        setattr(validating, name, getattr(validated, name))
    assert gate.broken(validating, {}) == []


def test_version_that_is_live_already_is_not_promoted_again(policy, validated):
    version = succeed(policy)
    gate.decide(version, Findings(validated))
    assert policy.deployments.count() == 1


def test_unreadable_accounts_hold_the_version_back(policy, validated):
    artifacts.remove(validated.accounts)
    succeed(policy)
    assert held_back() == f"the guards cannot be computed: The accounts of validation {validated} are missing."


def test_validation_that_came_after_the_guards_promotes_the_next_version(policy):
    claimed = claim_run(policy)
    succeed_validation(request_validation(policy), result={"folds": FOLDS})
    lifecycle.succeed(claimed, lifecycle.Outcome({}, VERSION), lambda version: gate.decide(version, Findings(None)))
    assert held_back() == "the recipe was validated after its run had ended; the next version is examined"


def test_run_that_began_before_the_recipe_changed_promotes_nothing(policy, validated):
    claimed = claim_run(policy)
    findings = gate.examine(claimed, GOOD, MARKET)
    policy.seeds = 1
    policy.save_settings("seeds")
    outcome = lifecycle.Outcome({}, VERSION | {"evaluation": GOOD})
    lifecycle.succeed(claimed, outcome, lambda version: gate.decide(version, findings))
    assert (live(policy), held_back()) == (None, "the policy's recipe has changed since its run was queued")


def test_version_of_replaced_bars_is_held_back(policy, validated):
    other = reversed_bars(MARKET)
    bars.store(other)
    Validation.objects.update(bars_digest=other.digest)
    succeed(policy, {})
    assert held_back() == "299 of the 300 bars that the recipe was validated on have changed"


def test_standings_of_many_policies_take_three_queries(policy, validated, django_assert_num_queries):
    policies = [policy, *(PolicyStore.objects.create(name=f"p{number}") for number in range(5))]
    with django_assert_num_queries(3):
        assert {standing.state for standing in gate.standings(policies).values()} == {State.VALIDATED}
