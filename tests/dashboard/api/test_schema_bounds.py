"""Tests that the API conforms to its OpenAPI schema at every bound. To collect them takes seconds."""

import pytest

from tests.dashboard.api.test_schema import KNOWN, ask, each_operation

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("connection_of_the_test"),
    pytest.mark.long,
]


@each_operation({}, boundaries=True)
def test_requests_at_every_bound_conform(rows, case, role):
    ask(case, role)


@each_operation(KNOWN, boundaries=True)
def test_requests_at_every_bound_for_stored_rows_conform(rows, case, role):
    ask(case, role)
