"""Tests that the API conforms to its OpenAPI schema for generated requests."""

import pytest
import schemathesis
import yaml
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.db import transaction
from hypothesis import HealthCheck, settings
from schemathesis import checks

from dashboard.api.documentation import openapi_schema
from tests.access_rows import COMPARISON, EVENT, FINISHED, KEY, VALIDATION
from tests.api_clients import client_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("connection_of_the_test")]

EXAMPLES = 5  # for each operation
KNOWN = {"name": "rl_v3", "run_id": FINISHED, "number": 1, "event_id": EVENT, "If-Match": "*"}
KNOWN |= {"alert_id": KEY, "proposal_id": KEY, "comparison_id": COMPARISON, "validation_id": VALIDATION, "account": KEY}
# The check for accepted positive data is missing: rules that concern several fields refuse values that the schema
# allows.
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]

# Each request is rolled back, so that all requests of a test find the same rows.
ONE_STATE = settings(suppress_health_check=list(HealthCheck))
# pytest 9.2 names the operation in a test's id only if the test has a parameter of its own.
AS_ADMIN = pytest.mark.parametrize("role", ["admin"])
APPLICATION = WSGIHandler()


def load(parameters, boundaries):
    """Return the schema with fixed `parameters`.

    With `boundaries`, it also generates values at and just beyond each bound of each parameter and field.
    """
    config = schemathesis.Config.from_dict(
        {
            "seed": 1,
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "phases": {"coverage": {"enabled": boundaries}},
            "parameters": parameters,
        }
    )
    schema = schemathesis.openapi.from_dict(openapi_schema(), config=config)
    schema.app = APPLICATION
    return schema


def each_operation(parameters, boundaries):
    """Return a decorator that makes a test of each operation, with requests as `load` describes."""
    return lambda test: AS_ADMIN(ONE_STATE(load(parameters, boundaries).parametrize()(test)))


def ask(case, role):
    with transaction.atomic():
        headers = {"Authorization": client_of(role).defaults["HTTP_AUTHORIZATION"]}
        case.call_and_validate(headers=headers, checks=CHECKS)
        transaction.set_rollback(True)


@each_operation({}, boundaries=False)
def test_requests_for_any_rows_conform(rows, case, role):
    ask(case, role)


@each_operation(KNOWN, boundaries=False)
def test_requests_for_stored_rows_conform(rows, case, role):
    ask(case, role)


def test_served_schema_is_the_generated_one(rows):
    client = client_of("viewer")
    assert client.get("/api/schema/", headers={"Accept": "application/json"}).json() == openapi_schema()
    assert yaml.safe_load(client.get("/api/schema/").content) == openapi_schema()


def test_schema_is_valid_and_complete(tmp_path):
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yml"))
