from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from django.utils import timezone

from rl_training.accounts.models import ApiToken, FailedLogins, KnownPlace
from rl_training.alerts.models import Alert, AlertChannel, AlertRule
from rl_training.models import (
    Arm,
    ArmComparison,
    ComparedVersion,
    Comparison,
    Deployment,
    FollowedMarket,
    PolicyStore,
    PolicyVersion,
    Proposal,
    TrainingEvent,
    TrainingRun,
    Trial,
    TrialMarket,
)
from tests.access_rows import ARM_COMPARISON, COMPARISON, EVENT, FINISHED, KEY, QUEUED, VALIDATION, WALKED_FORWARD
from tests.api_clients import client_of, user_of
from tests.stored import skip_slots, walked_forward
from tests.validations import store_validation

RESULT = {
    "accounts": [{"name": name, "reference": False, "equity_curve": [1.0, 1.1]} for name in ("a", "b")],
    "timestamps": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
}
WALKED = {"performances": {"flat": {"equity_curve": [1.0, 1.0]}}, "timestamps": RESULT["timestamps"]}


@pytest.fixture
def operator(policy: PolicyStore) -> Client:
    return client_of("operator")


@pytest.fixture
def viewer(policy: PolicyStore) -> Client:
    return client_of("viewer")


@pytest.fixture
def rows(db: None, redis_server: None) -> None:
    """Store the rows that the URLs of `access_table.py` refer to."""
    PolicyStore.objects.filter(name="rl_v3").delete()
    policy = PolicyStore.objects.create(pk=KEY, name="rl_v3")
    PolicyStore.history.filter(id=KEY).update(history_id=KEY)
    other = PolicyStore.objects.create(name="other")
    ended = {"status": "succeeded", "finished_at": timezone.now()}
    run = TrainingRun.objects.create(
        pk=KEY, run_id=FINISHED, policy=policy, trigger="schedule", episodes=2, config={"market": {}}, **ended
    )
    TrainingRun.objects.create(run_id=QUEUED, policy=other, trigger="schedule", episodes=2, config={})
    evaluation = {"timestamps": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], "equity_curve": [1.0, 0.9]}
    version = PolicyVersion.objects.create(pk=KEY, policy=policy, number=1, run=run, sha256="ab", evaluation=evaluation)
    second = TrainingRun.objects.create(policy=policy, trigger="schedule", episodes=2, config={"market": {}}, **ended)
    promoted = PolicyVersion.objects.create(policy=policy, number=2, run=second, sha256="ab", evaluation=evaluation)
    comparison = Comparison.objects.create(pk=KEY, comparison_id=COMPARISON, size=2, market="sp500", result=RESULT)
    for place, one in enumerate((version, promoted)):
        ComparedVersion.objects.create(comparison=comparison, version=one, place=place)
    store_validation(policy, validation_id=VALIDATION)
    market = TrialMarket.objects.create(pk=KEY, key="0" * 64, label="sp500")
    tried = {"kind": "walk_forward", "recipe": "0" * 64, "policy_name": "rl_v3", "alpha": 0.05, "level": 0.03}
    trial = Trial.objects.create(pk=KEY, market=market, number=1, at=timezone.now(), **tried)
    walked_forward(policy, pk=KEY, validation_id=WALKED_FORWARD, trial=trial, recipe="0" * 64, result=WALKED)
    change = {"policy": policy, "action": "promote", "actor": "user", "reason": "It is better."}
    live = Deployment.objects.create(pk=KEY, version=version, at=timezone.now(), **change)
    proposer = user_of("operator")
    Proposal.objects.create(
        pk=KEY, version=promoted, proposer=proposer, proposed_at=timezone.now(), previous=live, **change
    )
    followed = FollowedMarket.objects.create(identity="0" * 64, config={}, label="bars.csv")
    arm = {"policy": policy, "market": followed, "rules": {}, "opened_at": timezone.now()}
    Arm.objects.create(pk=KEY, kind="last_return_followed", **arm)
    a, b = (Arm.objects.create(kind=kind, **arm) for kind in ("live", "flat"))
    compared = Trial.objects.create(market=market, number=2, at=timezone.now(), **tried | {"kind": "comparison"})
    numbers = {"trial": compared, "largest_loss": 0.1, "wealth": [1.0] * 16}
    ArmComparison.objects.create(pk=KEY, comparison_id=ARM_COMPARISON, policy=policy, a=a, b=b, **numbers)
    skip_slots(policy, pk=KEY)
    TrainingEvent.objects.create(pk=KEY, event_id=EVENT, event_type="rl_v3.training.started", run=run, payload={})
    AlertChannel.objects.create(pk=KEY, name="mail")
    AlertRule.objects.filter(policy=other).delete()
    rule = AlertRule.objects.create(pk=KEY, policy=other, kind="run_failed")
    Alert.objects.create(pk=KEY, rule=rule, kind=rule.kind, message="no bars")
    Group.objects.create(pk=KEY, name="others")
    FailedLogins.objects.create(pk=KEY, kind="user", user="somebody", last_failure_at=timezone.now())
    KnownPlace.objects.create(pk=KEY, user="somebody", place="192.0.2.1")
    somebody = User.objects.create_user("somebody", pk=KEY)
    ApiToken.objects.create(pk=KEY, user=somebody, name="program", digest="0")


@pytest.fixture
def connection_of_the_test() -> Iterator[None]:
    """Keep the connection open after each request, because the requests run in the transaction of the test."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
