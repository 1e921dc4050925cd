import pytest

from rl_training.accounts import failures
from rl_training.accounts.guessing import Origin
from rl_training.alerts.kinds import Kind

pytestmark = pytest.mark.django_db


def fail_three_times() -> None:
    for _ in range(3):
        failures.note("login", "ann", Origin("192.0.2.1"))


def test_many_failed_logins_open_an_alert(watched, streams):
    watched.rule(Kind.FAILED_LOGINS, threshold=3)
    watched.opens_and_resolves(
        "system: many logins fail",
        "3 logins failed in the last 10 minutes.",
        fail_three_times,
        streams.flushall,
    )
