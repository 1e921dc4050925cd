from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from rl_training.models import PolicyVersion
from tests.api_clients import problem
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db
VERSIONS = "/api/v1/policies/rl_v3/versions/"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EVALUATION = {
    "total_return": 0.25,
    "bars": 1006,
    "sharpe": 0.5,
    "sharpe_interval": [-0.5, 1.5],
    "max_drawdown": 0.125,
    "turnover": 12.5,
    "time_in_market": 0.75,
    "buy_and_hold": {"total_return": 0.5},
    "flat": {"total_return": 0.0},
}


def store(policy, *returns):
    """Store a version with each return; None: a version without results."""
    for number, value in enumerate(returns, 1):
        evaluation = {} if value is None else EVALUATION | {"total_return": value}
        run = finished_run(policy, config={"market": {"source": "nasdaq"}})
        PolicyVersion.objects.create(policy=policy, number=number, run=run, evaluation=evaluation)


def test_version_is_listed_with_its_results(policy, viewer):
    store(policy, 0.25)
    [version] = viewer.get(VERSIONS).json()["results"]
    found = {name: version[name] for name in ("market", "held_out_bars", "held_out_return", "buy_and_hold_return")}
    assert found == {
        "market": "nasdaq",
        "held_out_bars": 1006,
        "held_out_return": 0.25,
        "buy_and_hold_return": 0.5,
    }
    assert [version[name] for name in ("flat_return", "sharpe", "sharpe_low", "sharpe_high")] == [0.0, 0.5, -0.5, 1.5]
    assert [version[name] for name in ("max_drawdown", "turnover", "time_in_market", "live")] == [0.125, 12.5, 0.75, []]


def test_version_without_weights_states_when_they_were_removed(policy, viewer):
    store(policy, 0.1, 0.2)
    PolicyVersion.objects.filter(number=1).update(weights_removed_at=NOON, artifact="")
    removed = [version["weights_removed_at"] for version in viewer.get(VERSIONS).json()["results"]]
    assert removed == [None, "2026-01-01T12:00:00Z"]
    assert viewer.get(f"{VERSIONS}1/").json()["artifact"] == ""


def test_ordering_by_a_result_pages_through_the_versions_that_have_it(policy, viewer):
    store(policy, 0.1, -0.3, None, 0.2, 0.1)
    page = viewer.get(VERSIONS, {"ordering": "-held_out_return", "limit": 2}).json()
    found = [version["number"] for version in page["results"]]
    while page["next"]:
        page = viewer.get(page["next"]).json()
        found += [version["number"] for version in page["results"]]
    assert found == [4, 5, 1, 2]


def test_cursor_with_a_value_that_is_no_number_is_refused(policy, viewer):
    store(policy, 0.1, 0.2)
    # ["held_out_return", false, "x", 1]
    cursor = "WyJoZWxkX291dF9yZXR1cm4iLCBmYWxzZSwgIngiLCAxXQ=="
    problem(viewer.get(VERSIONS, {"ordering": "held_out_return", "cursor": cursor}), 400)


def test_version_states_when_it_was_live(policy, viewer):
    store(policy, 0.1, 0.2)
    first, second = policy.versions.order_by("number")
    for version, hour in ((first, 12), (first, 13), (second, 14), (first, 15)):
        deploy(version, NOON.replace(hour=hour))
    live = {version["number"]: version["live"] for version in viewer.get(VERSIONS).json()["results"]}
    assert live == {
        1: [
            {"since": "2026-01-01T12:00:00Z", "until": "2026-01-01T14:00:00Z"},
            {"since": "2026-01-01T15:00:00Z", "until": None},
        ],
        2: [{"since": "2026-01-01T14:00:00Z", "until": "2026-01-01T15:00:00Z"}],
    }


def test_list_reads_no_evaluation(policy, viewer):
    store(policy, 0.1, 0.2)
    with CaptureQueriesContext(connection) as queries:
        viewer.get(VERSIONS, {"ordering": "sharpe"})
    read = [query["sql"] for query in queries if 'FROM "rl_training_policyversion"' in query["sql"]]
    assert read
    assert not [sql for sql in read if '"evaluation"' in sql]
