"""Time limits that contradict each other."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from quantum_trader.environment import silence
from tests.faults.system import SHORT_LIMITS

DEFAULTS = {
    "RUN_LOST_AFTER_SECONDS": 30.0,
    "OWNER_HEARTBEAT_SECONDS": 5.0,
    "OWNER_TICK_SECONDS": 1.0,
    "POOL_HEARTBEAT_SECONDS": 1.0,
    "BEAT_TICK_SECONDS": 1.0,
}


def test_defaults_and_the_short_limits_of_fault_cases_are_taken():
    silence.refuse_contradictions(DEFAULTS)
    silence.refuse_contradictions(DEFAULTS | {name: float(written) for name, written in SHORT_LIMITS.items()})


@pytest.mark.parametrize(
    ("name", "seconds", "message"),
    [
        ("RUN_LOST_AFTER_SECONDS", 14.5, "RUN_LOST_AFTER_SECONDS is 14.5 and OWNER_HEARTBEAT_SECONDS is 5; "),
        ("OWNER_TICK_SECONDS", 11.0, "RUN_LOST_AFTER_SECONDS is 30 and OWNER_TICK_SECONDS is 11; "),
        ("POOL_HEARTBEAT_SECONDS", 11.0, "RUN_LOST_AFTER_SECONDS is 30 and POOL_HEARTBEAT_SECONDS is 11; "),
        ("BEAT_TICK_SECONDS", 6.0, "BEAT_SILENT_AFTER_SECONDS is 15 and BEAT_TICK_SECONDS is 6; "),
    ],
)
def test_limits_that_contradict_each_other_are_refused_with_both_names(name, seconds, message):
    with pytest.raises(ImproperlyConfigured, match=f"^{message}the first must be at least 3 times "):
        silence.refuse_contradictions(DEFAULTS | {name: seconds})


@pytest.mark.parametrize(
    ("name", "written", "least"),
    [
        ("WORKER_HUNG_AFTER_SECONDS", "5", 6),
        ("WORKER_SILENT_AFTER_SECONDS", "1", 6),
        ("ALERTS_HUNG_AFTER_SECONDS", "10", 30),
        ("ALERTS_SILENT_AFTER_SECONDS", "29", 30),
        ("DECIDE_HUNG_AFTER_SECONDS", "0.5", 6),
        ("DECIDE_SILENT_AFTER_SECONDS", "5.9", 6),
    ],
)
def test_limit_below_three_times_the_heartbeat_is_refused(monkeypatch, name, written, least):
    monkeypatch.setenv(name, written)
    with pytest.raises(ImproperlyConfigured, match=f"^{name} is '{written}'; it must be .* from {least} to 86400.$"):
        (silence.silent_after if "SILENT" in name else silence.hung_after)()
    monkeypatch.setenv(name, str(least))
    assert least in (*silence.silent_after().values(), *silence.hung_after().values())
