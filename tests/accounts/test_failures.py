import pytest

from rl_training.accounts import failures, shared_secrets
from rl_training.accounts.guessing import Origin
from rl_training.accounts.models import FailedLogins

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch):
    monkeypatch.setattr(shared_secrets, "_remembered", {})


HERE = Origin("192.0.2.1")


def refusal(right, origin=HERE, name="METRICS_TOKEN"):
    return shared_secrets.refusal("metrics", name, origin, right=right)


def test_failures_are_logged_and_counted(streams, caplog):
    assert failures.count(10) == 0
    failures.note("login", "ann", HERE)
    failures.note("login", "ann", HERE, 30.0)
    assert failures.count(10) == 2
    first, second = (record.msg for record in caplog.records)
    expected = {"event": "Login failed", "what": "login", "user": "ann", "address": "192.0.2.1"}
    assert {name: first[name] for name in expected} == expected
    assert (second["event"], second["wait_seconds"]) == ("Login refused after many failures", 30.0)


def test_right_secret_is_refused_after_repeated_failures(streams):
    assert [refusal(right=False) for _ in range(4)] == [0.0] * 4
    assert refusal(right=True, origin=Origin("192.0.2.2")) is None
    assert refusal(right=False) == 0.0
    assert (refusal(right=False) or 0) > 29
    assert (refusal(right=True) or 0) > 29


def test_monitor_at_a_known_address_is_answered_while_others_guess(streams):
    assert refusal(right=True) is None
    for host in range(20):
        refusal(right=False, origin=Origin(f"198.51.100.{host}"))
    assert FailedLogins.objects.filter(user="metrics: metrics_token", failures=5).exists()
    assert refusal(right=True) is None
