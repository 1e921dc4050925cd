import gc
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from django.db import connection, connections
from xdist.scheduler.loadfile import LoadFileScheduling

import tests.profiles  # noqa: F401 - registers the profiles
from quantum_trader.redis_clients import redis_client
from quantum_trader.running.redis_server import program
from rl_training.models import PolicyStore
from tests import databases, shared_folder
from tests.prepared import PreparedPython
from tests.waiting import wait_for

# pytest shows the values of a failed assertion only in modules that it has rewritten.
pytest.register_assert_rewrite("tests.trading_properties")

# A test that uses one of these fixtures starts a process, or uses one that the fixture has started.
PROCESS_FIXTURES = {"redis_server", "environment_of_processes", "python", "prepared", "system", "server"}
STARTS_PROCESS = {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.forkpty"}


def pytest_configure(config: pytest.Config) -> None:
    # The collected modules stay in memory to the end, so garbage collections leave them out.
    gc.disable()
    if not is_parallel_worker(config):
        shared_folder.create()
    guard.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    # The workers of a parallel run end without the exit handlers that remove the folder otherwise.
    shutil.rmtree(settings.STATE_DIR, ignore_errors=True)
    if not is_parallel_worker(config):
        databases.remove_template()
        shared_folder.remove()


def is_parallel_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if doubled := [nodeid for nodeid, count in Counter(item.nodeid for item in items).items() if count > 1]:
        # A parallel run knows tests by their ids and would run only the first of them.
        raise pytest.UsageError(f"several tests have the id {doubled[0]}")
    for item in items:
        if databases.SERVER and path_within_tests(item.path).startswith(databases.SYSTEM_ON_POSTGRESQL):
            item.add_marker("system")
        if PROCESS_FIXTURES & set(getattr(item, "fixturenames", ())) or item.get_closest_marker("system"):
            item.add_marker("process")
    # The slowest modules start first, because a parallel run ends when the last of them ends.
    items.sort(key=lambda item: item.get_closest_marker("system") is None)


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


class ByFile(LoadFileScheduling):  # type: ignore[misc]
    """Runs the tests of a file in one process, because they share what they start; so do all tests in a browser."""

    def _split_scope(self, nodeid: str) -> str:
        return "browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile | None:
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import modules that a run on PostgreSQL leaves out; `make faults` leaves nothing out."""
    if not databases.SERVER or config.getoption("real_limits", False):
        return None
    return path_within_tests(collection_path).startswith(databases.SQLITE_ONLY) or None


def path_within_tests(path: Path) -> str:
    return path.relative_to(Path(__file__).parent).as_posix()


class ProcessGuard:
    """Fails a test that starts a process without the marker that keeps it out of `make check`."""

    def __init__(self) -> None:
        self.test = ""

    def start(self) -> None:
        sys.addaudithook(self.audit)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.test and event in STARTS_PROCESS:
            raise RuntimeError(f"{self.test} starts a process: mark it with @pytest.mark.process")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Allow shared fixtures to start a process in the block."""
        test, self.test = self.test, ""
        yield
        self.test = test


guard = ProcessGuard()


def pytest_runtest_setup(item: pytest.Item) -> None:
    guard.test = "" if item.get_closest_marker("process") else item.nodeid


def pytest_runtest_teardown() -> None:
    guard.test = ""


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Let Django use the database that `django_db_modify_db_settings` has made."""
    return True


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> Iterator[None]:
    """Give this process a migrated database, a copy of the test run's template."""
    if databases.SERVER:
        name = f"test_{os.getpid()}"
        made: Any = databases.migrated_postgresql(name)
    else:
        name = f"file:test_{os.getpid()}?mode=memory&cache=shared"
        made = databases.migrated_sqlite_in_memory(name)
    with guard.open():
        databases.make_template()
    with made:
        connection.settings_dict["TEST"]["NAME"] = name
        yield
        connections.close_all()


def start_redis(socket: Path) -> "subprocess.Popen[bytes]":
    """Start a Redis server on a unix socket and wait until it answers."""
    command = [program(), "--port", "0", "--unixsocket", str(socket), "--save", ""]
    server = subprocess.Popen(command, cwd=socket.parent, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(socket))
    wait_for(lambda: socket.exists() and client.ping(), "Redis to answer")
    client.close()
    return server


@pytest.fixture(scope="session")
def python() -> PreparedPython:
    """Return the prepared Python that starts programs of the project whose own start is not tested."""
    return PreparedPython()


@pytest.fixture(scope="session")
def prepared(request: pytest.FixtureRequest) -> PreparedPython | None:
    """Return the starter of a system's programs: a prepared Python, or None for a new interpreter each time."""
    return None if request.config.getoption("real_limits", False) else request.getfixturevalue("python")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[None]:
    """Run the Redis that settings.REDIS_URL names, for this test process alone."""
    server = start_redis(Path(settings.STATE_DIR) / "redis.sock")
    yield
    server.terminate()
    server.wait()


@pytest.fixture
def streams(redis_server: None) -> "redis.Redis":
    """Return a client of an empty Redis."""
    client = redis_client()
    client.flushall()
    return client


@pytest.fixture
def artifact_root(settings: Any, tmp_path: Path) -> Path:
    """Return the folder of an artifact storage that is empty and this test's own."""
    root = tmp_path / "artifacts"
    options = settings.STORAGES["artifacts"]["OPTIONS"] | {"location": root}
    settings.STORAGES = settings.STORAGES | {"artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": options}}
    settings.ARTIFACT_ROOT = root
    return root


@pytest.fixture
def policy(db: None) -> PolicyStore:
    # A transactional test empties the tables, and with them the policy that a migration inserted.
    return PolicyStore.objects.get_or_create(name="rl_v3")[0]


@pytest.fixture
def small_policy(policy: PolicyStore) -> PolicyStore:
    """Return a policy whose runs are short: 2 episodes of 32 bars in 4 environments, from the newest version."""
    policy.start_from, policy.seeds = "newest", 1
    config = policy.training_config()
    policy.environment = config.environment.model_copy(update={"episode_length": 32})
    policy.ppo = config.ppo.model_copy(
        update={"num_envs": 4, "rollout_length": 32, "minibatch_size": 64, "hidden_sizes": [8]}
    )
    policy.save_settings()
    return policy


@pytest.fixture
def environment_of_processes() -> dict[str, str]:
    """Return the environment with which a process of the project works on this test process's state."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
