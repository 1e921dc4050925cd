import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api_clients import RUNS
from tests.query_plans import steps_of_plan, store_100_000_runs

pytestmark = pytest.mark.django_db
TIMESTAMP = "2025-01-31T12:00:00Z"
QUERIES = [
    {},
    {"ordering": "queued_at"},
    {"ordering": "finished_at"},
    {"policy": "rl_v3"},
    {"status": "cancelled"},
    {"trigger": "api"},
    {"policy": "rl_v3", "status": "succeeded", "trigger": "schedule"},
    {"policy": "rl_v3", "ordering": "-finished_at"},
    {"queued_after": TIMESTAMP},
    {"finished_before": TIMESTAMP, "status": "failed"},
]


def get_page(client, url, query=None):
    """Return the URL of the next page, and the SQL statements that read runs."""
    with CaptureQueriesContext(connection) as queries:
        page = client.get(url, query).json()
    return page["next"], [found["sql"] for found in queries if 'FROM "rl_training_trainingrun"' in found["sql"]]


def test_every_page_of_100_000_runs_is_read_from_an_index(policy, viewer):
    store_100_000_runs(policy)
    for query in QUERIES:
        following, statements = get_page(viewer, RUNS, query)
        if following:
            statements += get_page(viewer, following)[1]
        assert statements
        for statement in statements:
            steps = [step for step in steps_of_plan(statement) if "trainingrun" in step]
            assert steps, query
            assert not [step for step in steps if "INDEX" not in step.upper() and "Bitmap" not in step], (query, steps)
