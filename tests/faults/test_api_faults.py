"""Many programs ask two web processes at the same moment, and some go away before they are answered."""

import http.client
import json
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from quantum_trader import health
from quantum_trader.state_dir import free_ports
from tests.faults.system import ROOT, System
from tests.waiting import wait_for

CLIENTS = 100
RUNS = "/api/v1/runs/"
# A program with the rights of an operator and no more.
MAKE_TOKEN = (
    "from django.contrib.auth.models import Group, User; from rest_framework.authtoken.models import Token; "
    "user = User.objects.create(username='program'); user.groups.add(Group.objects.get(name='operator')); "
    "print(Token.objects.create(user=user))"
)


@dataclass
class Web:
    ports: list[int]
    token: str

    def ask(self, number: int, body: Any, **headers: str) -> tuple[int, Any]:
        """Status and body of a request to one of the processes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[number % len(self.ports)], timeout=60)
        headers = {"Host": "localhost", "Content-Type": "application/json", **headers}
        connection.request("POST", RUNS, json.dumps(body), {"Authorization": f"Token {self.token}", **headers})
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer

    def ask_at_once(self, **headers: str) -> list[tuple[int, Any]]:
        together = threading.Barrier(CLIENTS)

        def ask(number: int) -> tuple[int, Any]:
            together.wait(60)
            return self.ask(number, {"policy": "rl_v3"}, **headers)

        with ThreadPoolExecutor(CLIENTS) as pool:
            return list(pool.map(ask, range(CLIENTS)))


@pytest.fixture
def web(system: System) -> Iterator[Web]:
    ports = free_ports(2)
    token = system.manage("shell", "--no-imports", "-c", MAKE_TOKEN).split()[-1]
    command = [sys.executable, "-m", "uvicorn", "quantum_trader.asgi:application", "--lifespan", "off", "--port"]
    processes = [
        subprocess.Popen(
            [*command, str(port)],
            cwd=ROOT,
            env=system.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for port in ports
    ]
    try:
        for port in ports:
            wait_for(lambda port=port: health.answers(f"http://127.0.0.1:{port}/healthz"), "the web process", 120)
        yield Web(ports, token)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


@pytest.fixture(autouse=True)
def local_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "localhost")


def test_of_100_triggers_at_once_one_starts_a_run_and_the_others_are_told_which(system: System, web: Web):
    answers = web.ask_at_once()
    [run] = system.runs()
    assert Counter(status for status, _ in answers) == {201: 1, 409: CLIENTS - 1}
    assert {answer["run_id"] for _, answer in answers} == {run["run_id"]}


def test_100_triggers_at_once_with_one_key_are_one_request(system: System, web: Web):
    answers = web.ask_at_once(**{"Idempotency-Key": "deploy-7"})
    [run] = system.runs()
    assert Counter(status for status, _ in answers) == {201: CLIENTS}
    assert {answer["run_id"] for _, answer in answers} == {run["run_id"]}


def request_of(web: Web) -> bytes:
    body = json.dumps({"policy": "rl_v3"})
    headers = f"Host: localhost\r\nAuthorization: Token {web.token}\r\nContent-Type: application/json\r\n"
    return f"POST {RUNS} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def test_a_program_that_goes_away_before_it_has_asked_leaves_no_run(system: System, web: Web):
    request = request_of(web)
    for length in (20, request.index(b"{"), len(request) - 1):
        with socket.create_connection(("127.0.0.1", web.ports[0])) as connection:
            connection.sendall(request[:length])
    status, answer = web.ask(0, {"policy": "rl_v3"})
    assert (status, [run["run_id"] for run in system.runs()]) == (201, [answer["run_id"]])


def test_a_program_that_goes_away_once_it_has_asked_leaves_one(system: System, web: Web):
    with socket.create_connection(("127.0.0.1", web.ports[0])) as connection:
        connection.sendall(request_of(web))
    wait_for(system.runs, "the run")
    status, answer = web.ask(0, {"policy": "rl_v3"})
    assert (status, [run["run_id"] for run in system.runs()]) == (409, [answer["run_id"]])
