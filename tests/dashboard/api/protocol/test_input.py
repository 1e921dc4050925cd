"""Malformed requests get a problem that names the mistake, and change nothing."""

import json

import pytest
from django.db import OperationalError, connection

from rl_training.models import PolicyStore, TrainingRun
from tests.api_clients import JSON, POLICY, RUNS, problem, user_of

pytestmark = pytest.mark.django_db

BODIES = {
    "nothing": (b"", 400),
    "no JSON": (b"{", 400),
    "a list": (b"[]", 400),
    "null": (b"null", 400),
    "a number": (b"5", 400),
    "NaN": (b'{"seed": NaN}', 400),
    "Infinity": (b'{"seed": Infinity}', 400),
    "beyond floats": (b'{"seed": 1e999}', 400),
    "a number of 5,000 digits": (b'{"seed": ' + b"9" * 5000 + b"}", 400),
    "duplicate keys": (b'{"policy": "rl_v3", "policy": "rl_v3"}', 400),
    "deep": (b'{"policy": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400),
    "half a surrogate pair": (b'{"policy": "\\ud800"}', 400),
    "UTF-16": ('{"policy": "rl_v3"}'.encode("utf-16"), 400),
    "no encoding": (b'{"policy": "\xff"}', 400),
    "10 MB": (b'{"policy": "' + b"x" * 10_000_000 + b'"}', 413),
    "10 MB of spaces": (b" " * 10_000_000 + b'{"policy": "rl_v3"}', 413),
}


@pytest.mark.parametrize(("size", "status"), [(64_000, 201), (64_001, 413)])
def test_body_has_at_most_64000_bytes(operator, policy, size, status):
    content = b'{"policy": "rl_v3"}'.ljust(size)
    assert operator.post(RUNS, content, content_type=JSON).status_code == status
    assert TrainingRun.objects.count() == (status == 201)


@pytest.mark.parametrize("size", [64_000, 64_001])
def test_characters_of_several_bytes_count_as_bytes(operator, policy, size):
    content = ('{"policy": "' + "ä" * 31_993).encode() + b'"}'
    assert len(content) == 64_000
    status = operator.post(RUNS, content.ljust(size), content_type=JSON).status_code
    assert status == (400 if size == 64_000 else 413)


@pytest.mark.parametrize("body", BODIES)
def test_malformed_body_is_refused(operator, body):
    content, status = BODIES[body]
    assert problem(operator.post(RUNS, content, content_type=JSON), status)["detail"]
    headers = {"If-Match": "*"}
    # An empty body is a valid change: it changes nothing.
    if content:
        assert problem(operator.patch(POLICY, content, content_type=JSON, headers=headers), status)["detail"]
    assert not TrainingRun.objects.exists()
    assert PolicyStore.objects.get().history.count() == 1


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/xml",
        "nonsense",
        "application/json, text/plain",
    ],
)
def test_content_type_other_than_json_is_refused(operator, content_type):
    problem(operator.post(RUNS, b'{"policy": "rl_v3"}', content_type=content_type), 415)
    problem(operator.patch(POLICY, b'{"enabled": false}', content_type=content_type, headers={"If-Match": "*"}), 415)
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "application/json; charset=latin-1"])
def test_json_is_read_as_utf_8_whatever_the_charset(operator, content_type):
    assert operator.post(RUNS, b'{"policy": "rl_v3"}', content_type=content_type).status_code == 201


@pytest.mark.parametrize(
    "query",
    [
        "page=-1",
        "page=2",
        "limit=1000000000",
        "limit=0",
        "limit=-1",
        "limit=",
        "limit=ten",
        "limit=1e1",
        "limit=٣",
        "limit=" + "9" * 5000,
        "limit=5&limit=5",
        "ordering=run_id",
        "ordering=-queued_at,queued_at",
        "cursor=x",
        "cursor=%00",
        "cursor=☃",
        "cursor=" + "A" * 9000,
        "status=lost",
        "status=",
        "status=%00",
        "trigger=me",
        "policy=other",
        "policy=rl_v3%00",
        "policy=" + "x" * 5000,
        "queued_after=yesterday",
        "queued_after=2026-01-01",
        "queued_after=2026-01-01T00:00:00",
        "queued_after=2026-02-30T00:00:00Z",
        "queued_after=0001-01-01T00:00:00%2B14:00",
        "queued_after=9999-12-31T23:59:59-14:00",
        "queued_after=99999-01-01T00:00:00Z",
        "queued_after=%00",
        "queued_after=2026-01-01T00:00:00Z&finished_before=2026-01-02T00:00:00Z",
        "finished_after=2026-01-01T00:00:00Z&ordering=queued_at",
        "format=xml",
        "a%00b=1",
        "&".join(f"a{number}=1" for number in range(500)),
    ],
)
def test_malformed_query_is_refused(operator, query):
    found = problem(operator.get(f"{RUNS}?{query}"), 400)
    assert found["type"] == "urn:quantum-trader:problem:invalid-input"
    assert found["errors"][0]["detail"]


@pytest.mark.parametrize("path", [POLICY, "/api/v1/runs/000000000000/", "/api/v1/events/"])
def test_unknown_parameter_is_refused(operator, path):
    problem(operator.get(f"{path}?pretty=1"), 400)


def test_too_many_parameters_are_refused(operator):
    problem(operator.get(RUNS, {f"a{number}": "1" for number in range(2000)}), 400)


@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v1/",
        "/api/v2/runs/",
        "/api/v1/runs",
        "/api/v1/events/5/",
        "/api/v1/events/%0A/",
    ],
)
def test_unknown_path_is_answered_with_a_problem(operator, client, path):
    problem(operator.get(path), 404)
    problem(client.post(path), 404)


@pytest.mark.parametrize(
    ("method", "path"), [("put", RUNS), ("delete", POLICY), ("post", POLICY), ("get", f"{RUNS}x/cancel/")]
)
def test_wrong_method_is_refused_with_and_without_credentials(operator, client, method, path):
    problem(getattr(operator, method)(path), 405)
    assert problem(getattr(client, method)(path), 405)["title"] == "Method Not Allowed"


def test_client_that_does_not_accept_json_is_refused(operator):
    problem(operator.get(RUNS, headers={"Accept": "text/html"}), 406)
    assert operator.get(RUNS, headers={"Accept": "text/html, */*;q=0.1"}).status_code == 200


def test_wrong_host_is_answered_with_a_problem(operator):
    problem(operator.get(RUNS, headers={"Host": "elsewhere.example"}), 400)


def test_server_error_is_a_problem_without_the_cause(operator, monkeypatch):
    def fail(*_):
        raise RuntimeError("the secret cause")

    monkeypatch.setattr("dashboard.api.runs.run_data", fail)
    assert "secret" not in json.dumps(problem(operator.get(f"{RUNS}000000000000/"), 500))


@pytest.mark.parametrize("path", [f"{RUNS}000000000000/", "/runs/"])
def test_answer_is_503_while_the_database_does_not_answer(client, monkeypatch, path):
    def fail(*_, **__):
        raise OperationalError("connection refused: secret")

    client.force_login(user_of("viewer"))
    client.raise_request_exception = False
    monkeypatch.setattr(connection, "cursor", fail)
    response = client.get(path)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert b"The database does not answer; try again in a few seconds." in response.content
    assert b"secret" not in response.content
