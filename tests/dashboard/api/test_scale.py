import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api_clients import RUNS, client_of
from tests.dashboard.api.test_summary_api import steps_of_plan, store_100_000_runs

pytestmark = pytest.mark.django_db
MOMENT = "2025-01-31T12:00:00Z"
QUERIES = [
    {},
    {"ordering": "queued_at"},
    {"ordering": "finished_at"},
    {"policy": "rl_v3"},
    {"status": "cancelled"},
    {"trigger": "api"},
    {"policy": "rl_v3", "status": "succeeded", "trigger": "schedule"},
    {"policy": "rl_v3", "ordering": "-finished_at"},
    {"queued_after": MOMENT},
    {"finished_before": MOMENT, "status": "failed"},
]


def asked(client, address, query=None):
    """The address of the next page, and the statements that read runs."""
    with CaptureQueriesContext(connection) as queries:
        page = client.get(address, query).json()
    return page["next"], [found["sql"] for found in queries if 'FROM "rl_training_trainingrun"' in found["sql"]]


def test_with_100_000_runs_every_page_is_read_from_an_index(policy):
    store_100_000_runs(policy)
    client = client_of("viewer")
    for query in QUERIES:
        following, statements = asked(client, RUNS, query)
        if following:
            statements += asked(client, following)[1]
        assert statements
        for statement in statements:
            steps = [step for step in steps_of_plan(statement) if "trainingrun" in step]
            assert steps, query
            assert not [step for step in steps if "INDEX" not in step.upper() and "Bitmap" not in step], (query, steps)
