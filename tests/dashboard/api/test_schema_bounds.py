"""Tests that the API conforms to its OpenAPI schema at every bound. To collect them takes seconds."""

import pytest

from tests.dashboard.api.test_schema import AS_ADMIN, KNOWN, ONE_STATE, ask, load

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("connection_of_the_test"),
    pytest.mark.long,
]


@AS_ADMIN
@ONE_STATE
@load({}, boundaries=True).parametrize()
def test_requests_at_every_bound_conform(rows, case, role):
    ask(case, role)


@AS_ADMIN
@ONE_STATE
@load(KNOWN, boundaries=True).parametrize()
def test_requests_at_every_bound_for_stored_rows_conform(rows, case, role):
    ask(case, role)
