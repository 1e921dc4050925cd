import pytest

from rl_training.alerts.kinds import Kind

pytestmark = pytest.mark.django_db
READING = {"layout": "by_name", "repairs": {"sorted": 60}}
CLEAN = {"name": "m.csv", "bars": 60, "reading": READING}


def with_suspicion(kind, name="m.csv"):
    return CLEAN | {"name": name, "reading": {**READING, "suspicions": {kind: 3}}}


def test_new_kind_of_suspicion_opens_alert_that_the_next_run_resolves(watched):
    watched.finish(market_summary=CLEAN)
    watched.rule(Kind.MARKET_DATA)
    watched.opens_and_resolves(
        "rl_v3: the market data has a new kind of fault",
        "m.csv: long stretches of one price.",
        lambda: watched.finish(market_summary=with_suspicion("stale")),
        lambda: watched.finish(market_summary=with_suspicion("stale")),
    )


def test_first_run_on_a_market_and_known_kinds_open_no_alert(watched):
    watched.rule(Kind.MARKET_DATA)
    for summary in (None, {"name": "sp500"}, with_suspicion("stale"), with_suspicion("stale"), CLEAN):
        watched.finish(market_summary=summary)
        assert watched.round() == []
    watched.finish(market_summary=with_suspicion("split", name="other.csv"))
    assert watched.round() == []
