"""Many clients trigger runs at the same time through two web processes, and some disconnect before the answer."""

import http.client
import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.faults.system import Row, System
from tests.waiting import wait_for

CLIENTS = 100
RUNS = "/api/v1/runs/"
# Each case triggers runs of a policy of its own, because the cases share the system.
POLICIES = ("rl_v3", "policy_2", "policy_3", "policy_4")
# A token with the permissions of an operator and no others.
MAKE_TOKEN = (
    "from django.contrib.auth.models import Group, User; from rl_training.accounts import tokens; "
    "user = User.objects.create(username='program'); user.groups.add(Group.objects.get(name='operator')); "
    "print(tokens.create(user, 'program', second_factor=False)[1])"
)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = connect(self._path)


def connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(60)
    connection.connect(str(path))
    return connection


@dataclass
class Web:
    system: System
    sockets: list[Path]
    token: str

    def post(self, number: int, body: Any, **headers: str) -> tuple[int, Any]:
        """Return status and body of the answer of one of the processes."""
        connection = UnixConnection(self.sockets[number % len(self.sockets)])
        headers = {"Content-Type": "application/json", **headers}
        connection.request("POST", RUNS, json.dumps(body), {"Authorization": f"Token {self.token}", **headers})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def post_at_once(self, policy: str, **headers: str) -> list[tuple[int, Any]]:
        together = threading.Barrier(CLIENTS)

        def post(number: int) -> tuple[int, Any]:
            together.wait(60)
            return self.post(number, {"policy": policy}, **headers)

        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(post, range(CLIENTS)))

    def runs(self, policy: str) -> list[Row]:
        return self.system.query(
            "SELECT run.* FROM rl_training_trainingrun run JOIN rl_training_policystore policy "
            "ON policy.id = run.policy_id WHERE policy.name = %s",
            policy,
        )

    def request(self, policy: str) -> bytes:
        """Return the bytes of a request that triggers a run."""
        body = json.dumps({"policy": policy})
        headers = f"Host: localhost\r\nAuthorization: Token {self.token}\r\nContent-Type: application/json\r\n"
        return f"POST {RUNS} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.fixture(scope="module")
def web(tmp_path_factory, prepared, limits) -> Iterator[Web]:
    """Start two web processes and no worker, so that each triggered run stays queued."""
    folder = tmp_path_factory.mktemp("web")
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("ALLOWED_HOSTS", "localhost")
        url = stack.enter_context(databases.migrated(folder, f"web_{os.getpid()}"))
        system = stack.enter_context(System(folder, url, prepared=prepared, limits=limits).running())
        system.schedule(len(POLICIES))
        token = system.manage("shell", "--no-imports", "-c", MAKE_TOKEN).split()[-1]
        yield Web(system, [start_web(system, f"web{number}") for number in range(2)], token)


def start_web(system: System, name: str) -> Path:
    """Start a web process and return the path of the unix socket on which it listens."""
    path = system.folder / f"{name}.sock"
    command = ("-m", "uvicorn", "quantum_trader.asgi:application", "--lifespan", "off", "--uds", str(path))
    system.processes[name] = system.start(name, command)
    wait_for(path.exists, "the web process", 120)
    return path


def test_hundred_concurrent_triggers_start_one_run(web):
    answers = web.post_at_once("rl_v3")
    [run] = web.runs("rl_v3")
    assert Counter(status for status, _ in answers) == {201: 1, 409: CLIENTS - 1}
    assert {answer["run_id"] for _, answer in answers} == {run["run_id"]}


def test_hundred_concurrent_triggers_with_one_key_are_one_request(web):
    answers = web.post_at_once("policy_2", **{"Idempotency-Key": "deploy-7"})
    [run] = web.runs("policy_2")
    assert Counter(status for status, _ in answers) == {201: CLIENTS}
    assert {answer["run_id"] for _, answer in answers} == {run["run_id"]}


def test_client_that_disconnects_within_its_request_triggers_no_run(web):
    request = web.request("policy_3")
    for length in (20, request.index(b"{"), len(request) - 1):
        with connect(web.sockets[0]) as connection:
            connection.sendall(request[:length])
    status, answer = web.post(0, {"policy": "policy_3"})
    assert (status, [run["run_id"] for run in web.runs("policy_3")]) == (201, [answer["run_id"]])


def test_client_that_disconnects_after_its_request_triggers_one_run(web):
    with connect(web.sockets[0]) as connection:
        connection.sendall(web.request("policy_4"))
    wait_for(lambda: web.runs("policy_4"), "the run")
    status, answer = web.post(0, {"policy": "policy_4"})
    assert (status, [run["run_id"] for run in web.runs("policy_4")]) == (409, [answer["run_id"]])
