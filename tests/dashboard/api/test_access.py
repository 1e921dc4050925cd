"""The site grants the permissions of `access_table.py`."""

import itertools
import json
import re
from collections.abc import Iterator

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import URLResolver, get_resolver

from tests.access_rows import ANONYMOUS, METHODS, ROLES
from tests.access_table import TABLE
from tests.api_clients import JSON, user_of
from tests.dashboard.pages.page_text import directives

pytestmark = pytest.mark.django_db

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            # The admin names the apps in the order in which their modules were imported.
            yield re.sub("(?<=<app_label>)[a-z_|]+", lambda apps: "|".join(sorted(apps[0].split("|"))), route)


def test_every_url_has_a_row_and_every_row_has_a_url():
    assert set(routes(get_resolver())) == set(TABLE)


def session_client(role, **options):
    """Return a client with a session of a user with the role."""
    client = Client(raise_request_exception=False, **options)
    if role != ANONYMOUS:
        client.force_login(user_of(role))
    return client


def ask(client, method, row):
    """Return the response to a request, and roll back what the request changed."""
    with transaction.atomic():
        if method == "GET":
            response = client.get(row.path)
        elif row.as_json:
            response = client.generic(method, row.path, json.dumps(row.body), JSON, headers=row.headers)
        elif method == "POST":
            response = client.post(row.path, row.body, headers=row.headers)
        else:
            response = client.generic(method, row.path, headers=row.headers)
        transaction.set_rollback(True)
    return response


@pytest.mark.system
def test_each_role_gets_the_status_of_the_table(rows):
    found, expected = {}, {}
    sessions = {role: session_client(role).cookies for role in ROLES}
    for role, (route, row) in itertools.product(ROLES, TABLE.items()):
        # Each URL gets its own client, because the logout URL removes the client's cookie.
        client = Client(raise_request_exception=False)
        client.cookies.update(sessions[role])
        for method in METHODS:
            status = str(ask(client, method, row).status_code)
            wanted = row.expected(method, role)
            if status != wanted != "*":
                found[method, route, role], expected[method, route, role] = status, wanted
    assert found == expected


def test_get_and_head_write_nothing(rows):
    written = []

    def record_write(execute, sql, *arguments):
        if sql.lstrip().upper().startswith(WRITES):
            written.append(sql)
        return execute(sql, *arguments)

    for row in TABLE.values():
        client = session_client("admin")
        with connection.execute_wrapper(record_write):
            client.get(row.path)
            client.head(row.path)
        assert written == [], row.path


def test_write_without_csrf_token_is_refused(rows):
    client = session_client("admin", enforce_csrf_checks=True)
    found, expected = {}, {}
    for (route, row), method in itertools.product(TABLE.items(), METHODS[1:]):
        found[method, route] = str(ask(client, method, row).status_code)
        # Unknown URLs and wrong methods are refused before the token is checked.
        wanted = row.expected(method, "admin")
        expected[method, route] = wanted if found[method, route] == wanted and wanted in ("404", "405") else "403"
    assert found == expected


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
