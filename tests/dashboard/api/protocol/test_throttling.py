from types import SimpleNamespace
from typing import Any

import pytest
from rest_framework.settings import api_settings

from dashboard.api.protocol import throttling
from dashboard.api.protocol.throttling import RateLimit
from tests.api_clients import RUNS, client_of, problem, trigger

pytestmark = pytest.mark.django_db
SUMMARY = "/api/v1/rl-v3/dashboard/training-summary"


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until the test moves it."""

    class Clock:
        now = 1000.0

        def monotonic(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(throttling, "time", clock)
    return clock


@pytest.fixture
def rates(monkeypatch, clock):
    """Allow three requests of each scope per minute."""
    RateLimit.reset()
    limits = dict.fromkeys(["reads", "writes", "summary"], 3)
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", limits)
    yield
    RateLimit.reset()


def test_allowance_may_be_spent_at_once_and_is_restored_evenly(policy, rates, clock):
    client = client_of("viewer")
    assert [client.get(RUNS).status_code for _ in range(4)] == [200, 200, 200, 429]
    clock.now += 19
    refused = client.get(RUNS)
    assert problem(refused, 429)["title"] == "Too Many Requests"
    assert refused.headers["Retry-After"] == "1"
    clock.now += 1
    assert [client.get(RUNS).status_code for _ in range(2)] == [200, 429]


def test_scopes_and_users_have_separate_allowances(policy, rates):
    operator = client_of("operator")
    for _ in range(3):
        operator.get(RUNS)
    problem(operator.get(RUNS), 429)
    assert operator.get(SUMMARY).status_code == 200
    assert trigger(operator).status_code == 201
    assert client_of("viewer").get(RUNS).status_code == 200


@pytest.mark.parametrize(
    ("method", "scope", "allowed"), [("GET", "reads", 1_200), ("POST", "reads", 300), ("GET", "summary", 60_000)]
)
def test_default_rates_allow_as_many_requests_at_once(monkeypatch, rates, method, scope, allowed):
    defaults = {"reads": 1_200, "writes": 300, "summary": 60_000}
    monkeypatch.setattr(api_settings, "DEFAULT_THROTTLE_RATES", defaults)
    request: Any = SimpleNamespace(method=method, user=SimpleNamespace(pk=1))
    view = SimpleNamespace(throttle_scope=scope)
    answers = [RateLimit().allow_request(request, view) for _ in range(allowed + 1)]
    assert answers == [True] * allowed + [False]


def test_throttled_trigger_starts_no_run(policy, rates):
    operator = client_of("operator")
    for _ in range(3):
        trigger(operator, seed=-1)
    problem(trigger(operator), 429)
    assert not policy.runs.exists()


def test_counting_makes_no_query(policy, django_assert_num_queries):
    client = client_of("viewer")
    client.get(SUMMARY)
    # The four queries read the token with its user, the runs, and without runs the policy and the runs again.
    with django_assert_num_queries(4):
        client.get(SUMMARY)
