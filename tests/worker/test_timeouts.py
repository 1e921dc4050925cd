"""Timeouts of Redis and of the databases."""

import ast
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

import pytest
import redis
from django.core.management.sql import emit_post_migrate_signal, emit_pre_migrate_signal
from django.db import connection

from quantum_trader.processes import COMMANDS
from rl_training.presence import heartbeats
from tests.conftest import start_redis
from tests.stalled import listener
from tests.waiting import wait_for

pytestmark = pytest.mark.system

PROGRAM = """
import time
import django; django.setup()
from celery import current_app
from rl_training.presence import heartbeats
from quantum_trader.redis_clients import redis_client
started = time.monotonic()
try:
    {code}
except Exception as error:
    print(type(error).__name__)
print(time.monotonic() - started)
"""


@pytest.mark.parametrize(
    "code",
    ["redis_client().ping()", "heartbeats.record('beat')", "current_app.send_task('any', queue='training')"],
    ids=["stream", "heartbeat", "task message"],
)
def test_redis_that_never_answers_ends_in_an_error(code, tmp_path, python, environment_of_processes):
    socket = Path("/tmp") / f"{tmp_path.name}-{os.getpid()}" / "redis.sock"  # a socket's path must be short
    environment = environment_of_processes | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "REDIS_URL": f"unix://{socket}",
    }
    with listener(socket) as server:
        output = python.run(["-c", PROGRAM.format(code=code)], environment)
        assert server.accepted() >= 1
    assert 1 < float(output.split()[-1]) < 10


def test_worker_continues_when_a_stopped_redis_answers_again(tmp_path, python, environment_of_processes):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # a socket's path must be short
    console = tmp_path / "console"
    server = start_redis(folder / "redis.sock")
    environment = environment_of_processes | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "REDIS_URL": f"unix://{folder}/redis.sock",
    }
    command = ("-m", "celery", "-A", "celery_app", "worker", *COMMANDS["worker"][5:])
    with console.open("wb") as output:
        worker = python.start(command, environment, output, output)
    try:
        client = redis.Redis.from_url(f"unix://{folder}/redis.sock")
        wait_for(lambda: client.zcard(heartbeats.key("worker")), "the worker's first heartbeat", 60)
        wait_for(
            lambda: any(c["cmd"] == "brpop" for c in client.client_list()),
            "the worker to wait for a message",
            60,
        )
        server.send_signal(signal.SIGSTOP)
        # By then, each of the worker's timeouts has fired.
        answering_again = time.monotonic() + 11
        wait_for(lambda: time.monotonic() > answering_again, "the time to pass")
        server.send_signal(signal.SIGCONT)
        client.delete(heartbeats.key("worker"))
        wait_for(lambda: client.zcard(heartbeats.key("worker")), "another heartbeat", 30)
    finally:
        server.send_signal(signal.SIGCONT)
        # The worker leads a process group with its pool.
        os.killpg(worker.pid, signal.SIGKILL)
        server.kill()
        worker.wait()
        server.wait()
        shutil.rmtree(folder)


def setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="a setting of PostgreSQL")
def test_statement_timeout_is_off_during_migrations():
    assert setting("statement_timeout") == "30s"
    emit_pre_migrate_signal(verbosity=0, interactive=False, db="default")
    assert setting("statement_timeout") == "0"
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default")
    assert setting("statement_timeout") == "30s"


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="a setting of PostgreSQL")
def test_idle_transaction_is_ended_by_the_server():
    assert setting("idle_in_transaction_session_timeout") == "20s"


def test_timeouts_in_the_database_url_override_the_defaults(python, environment_of_processes):
    program = "from django.conf import settings; print(settings.DATABASES['default']['OPTIONS'])"
    url = "postgres://user@host/name?connect_timeout=2&options=-c%20statement_timeout%3D60s"
    environment = environment_of_processes | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "DATABASE_URL": url,
    }
    options = ast.literal_eval(python.run(["-c", program], environment))
    assert (options["connect_timeout"], options["options"]) == (2, "-c statement_timeout=60s")
    assert options["tcp_user_timeout"] == 10_000


def test_sqlite_writer_waits_for_the_lock_at_the_start_of_a_transaction(tmp_path, python, environment_of_processes):
    program = (
        "import django; django.setup(); from django.db import connection;"
        "cursor = connection.cursor();"
        "print(*(cursor.execute(f'PRAGMA {name}').fetchone()[0] for name in ('journal_mode', 'busy_timeout')));"
        "print(connection.transaction_mode)"
    )
    environment = environment_of_processes | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "STATE_DIR": str(tmp_path),
        "DATABASE_URL": "",
    }
    assert python.run(["-c", program], environment).split() == ["wal", "20000", "IMMEDIATE"]
