import subprocess
import sys
from pathlib import Path

import pytest

from quantum_trader.redis_address import LONGEST_SOCKET_PATH, broker_url, private_socket


@pytest.mark.parametrize("missing", ["SECRET_KEY", "ALLOWED_HOSTS"])
def test_the_project_refuses_to_start_without_its_secrets(missing, environment_of_processes):
    environment = environment_of_processes | {
        missing: "",
        "DEBUG": "0",
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
    }
    check = [sys.executable, "manage.py", "check"]
    refused = subprocess.run(check, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert f"{missing} is not set" in refused.stderr
    assert subprocess.run(check, env=environment | {"DEBUG": "1"}, capture_output=True, check=False).returncode == 0


def test_celery_gets_the_same_redis_in_its_own_notation():
    assert broker_url("unix:///var/run/redis.sock") == "redis+socket:///var/run/redis.sock"
    assert broker_url("redis://:secret@redis:6379/0") == "redis://:secret@redis:6379/0"


def test_a_deep_state_directory_gets_a_socket_path_that_the_kernel_holds():
    assert private_socket(Path("/srv/var")) == Path("/srv/var/redis.sock")
    deep = Path("/srv") / ("x" * 100)
    assert len(str(private_socket(deep))) <= LONGEST_SOCKET_PATH
    assert private_socket(deep) == private_socket(deep)
    assert private_socket(deep) != private_socket(deep / "other")
