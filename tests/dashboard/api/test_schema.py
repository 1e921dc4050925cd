"""The API does what its description says, whatever it is asked."""

import pytest
import schemathesis
import yaml
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, settings
from schemathesis import checks

from dashboard.api.documentation import described
from tests.access_table import EVENT, FINISHED, KEY
from tests.api_clients import client_of
from tests.dashboard.api.test_access import rows  # noqa: F401

pytestmark = pytest.mark.django_db

EXAMPLES = 10
KNOWN = {"name": "rl_v3", "run_id": FINISHED, "number": 1, "event_id": EVENT, "alert_id": KEY, "If-Match": "*"}
# A value that the schema allows may be refused all the same, where a rule concerns several fields.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


# What a request does is taken back: the next one finds what the first one found.
ONE_STATE = settings(suppress_health_check=list(HealthCheck))
APPLICATION = get_wsgi_application()


def load(parameters, boundaries):
    """`boundaries`: also each value at and just past each bound of each parameter and field."""
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "phases": {"coverage": {"enabled": boundaries}},
            "parameters": parameters,
        }
    )
    schema = schemathesis.openapi.from_dict(described(), config=config)
    schema.app = APPLICATION
    return schema


@pytest.fixture(autouse=True)
def connection_of_the_test():
    """The requests are answered in the test's transaction: its connection must outlive them."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def ask(case):
    headers = {"Authorization": client_of("admin").defaults["HTTP_AUTHORIZATION"]}
    with transaction.atomic():
        case.call_and_validate(headers=headers, checks=CHECKS)
        transaction.set_rollback(True)


@ONE_STATE
@load({}, boundaries=False).parametrize()
def test_anything(rows, case):  # noqa: F811
    ask(case)


@ONE_STATE
@load(KNOWN, boundaries=False).parametrize()
def test_anything_of_what_there_is(rows, case):  # noqa: F811
    ask(case)


@pytest.mark.long
@ONE_STATE
@load({}, boundaries=True).parametrize()
def test_every_bound(rows, case):  # noqa: F811
    ask(case)


def test_the_description_that_is_served_is_that_one(rows):  # noqa: F811
    client = client_of("viewer")
    assert client.get("/api/schema/", headers={"Accept": "application/json"}).json() == described()
    assert yaml.safe_load(client.get("/api/schema/").content) == described()


def test_the_description_is_valid_and_leaves_nothing_out(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
