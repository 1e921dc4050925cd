"""Headers that every answer of the site has, to every role."""

import pytest

from tests.access_rows import ROLES
from tests.access_table import TABLE
from tests.dashboard.api.test_access import session_client
from tests.dashboard.pages.page_text import directives

pytestmark = pytest.mark.django_db


def test_every_answer_is_stored_nowhere_and_has_strict_headers(rows):
    found = set()
    for role in (ROLES[0], ROLES[-1]):
        client = session_client(role)
        for row in TABLE.values():
            if "logout" in row.path:
                continue
            response = client.get(row.path)
            headers = response.headers
            assert "no-store" in headers["Cache-Control"], row.path
            assert directives(response)["default-src"] == "'none'", row.path
            assert "unsafe" not in headers["Content-Security-Policy"], row.path
            assert "camera=()" in headers["Permissions-Policy"], row.path
            found.add((headers["Referrer-Policy"], headers["X-Content-Type-Options"], headers["X-Frame-Options"]))
    assert found == {("same-origin", "nosniff", "DENY")}
