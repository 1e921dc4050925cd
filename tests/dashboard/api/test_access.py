"""The code is held to `access_table.py`."""

import itertools
import json
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.db import connection, transaction
from django.test import Client
from django.urls import URLResolver, get_resolver
from django.utils import timezone
from rest_framework.authtoken.models import Token

from rl_training.alerts.models import Alert, AlertChannel, AlertRule
from rl_training.models import PolicyStore, PolicyVersion, TrainingEvent, TrainingRun
from tests.access_table import ANONYMOUS, EVENT, FINISHED, KEY, METHODS, QUEUED, ROLES, TABLE
from tests.api_clients import JSON, user_of

pytestmark = pytest.mark.django_db

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def routes(resolver: URLResolver, prefix: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, route)
        else:
            yield route


def test_every_url_has_a_row_and_every_row_a_url():
    assert set(routes(get_resolver())) == set(TABLE)


@pytest.fixture
def rows(db, redis_server):
    """What the addresses of the table are of."""
    PolicyStore.objects.filter(name="rl_v3").delete()
    policy = PolicyStore.objects.create(pk=KEY, name="rl_v3")
    PolicyStore.history.filter(id=KEY).update(history_id=KEY)
    other = PolicyStore.objects.create(name="other")
    ended = {"status": "succeeded", "finished_at": timezone.now()}
    run = TrainingRun.objects.create(
        pk=KEY, run_id=FINISHED, policy=policy, trigger="schedule", episodes=2, config={}, **ended
    )
    TrainingRun.objects.create(run_id=QUEUED, policy=other, trigger="schedule", episodes=2, config={})
    evaluation = {"timestamps": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"], "equity_curve": [1.0, 0.9]}
    PolicyVersion.objects.create(pk=KEY, policy=policy, number=1, run=run, sha256="ab", evaluation=evaluation)
    TrainingEvent.objects.create(pk=KEY, event_id=EVENT, event_type="rl_v3.training.started", run=run, payload={})
    AlertChannel.objects.create(pk=KEY, name="mail")
    AlertRule.objects.filter(policy=other).delete()
    rule = AlertRule.objects.create(pk=KEY, policy=other, kind="run_failed")
    Alert.objects.create(pk=KEY, rule=rule, kind=rule.kind, message="no bars")
    Group.objects.create(pk=KEY, name="others")
    Token.objects.create(user=User.objects.create_user("somebody", pk=KEY))


def client_of(role, **options):
    """With a session."""
    client = Client(raise_request_exception=False, **options)
    if role != ANONYMOUS:
        client.force_login(user_of(role))
    return client


def ask(client, method, row):
    """What is answered; what is done is taken back."""
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


def test_what_each_role_is_answered(rows):
    found, expected = {}, {}
    for role, (route, row) in itertools.product(ROLES, TABLE.items()):
        # One of its own: signing out signs out.
        client = client_of(role)
        for method in METHODS:
            status = str(ask(client, method, row).status_code)
            wanted = row.expected(method, role)
            if status != wanted != "*":
                found[method, route, role], expected[method, route, role] = status, wanted
    assert found == expected


def test_a_get_changes_nothing(rows):
    written = []

    def notice(execute, sql, *given):
        if sql.lstrip().upper().startswith(WRITES):
            written.append(sql)
        return execute(sql, *given)

    for row in TABLE.values():
        client = client_of("admin")
        with connection.execute_wrapper(notice):
            client.get(row.path)
            client.head(row.path)
        assert written == [], row.path


def test_what_changes_something_needs_a_csrf_token(rows):
    client = client_of("admin", enforce_csrf_checks=True)
    found, expected = {}, {}
    for (route, row), method in itertools.product(TABLE.items(), METHODS[1:]):
        found[method, route] = str(ask(client, method, row).status_code)
        # What nobody may ask is refused for what it is.
        wanted = row.expected(method, "admin")
        expected[method, route] = wanted if found[method, route] == wanted and wanted in ("404", "405") else "403"
    assert found == expected
