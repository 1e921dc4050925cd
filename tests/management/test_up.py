"""`manage.py up`: its first start, its end, and what it leaves behind. `test_end_to_end` tests the running system."""

import json
import re
import subprocess

import pytest

from quantum_trader.redis_clients import private_socket
from tests.up_process import COMMAND, ROOT, deep_state, environment, processes_on, start
from tests.waiting import wait_for

pytestmark = pytest.mark.system


def test_once_prints_summary_and_leaves_nothing(tmp_path):
    settings = environment(tmp_path / "state", ADMIN_PASSWORD="of-the-first-start")
    once = subprocess.run([*COMMAND, "--once"], cwd=ROOT, env=settings, capture_output=True, text=True, check=False)
    assert once.returncode == 0, once.stderr
    assert re.search("^Applying [0-9]+ migrations", once.stderr, re.MULTILINE)
    assert "login: admin, password: of-the-first-start" in once.stderr
    assert "login: admin, password: $for:tests; login: viewer, password: other" in once.stderr
    assert re.search("Authorization: Token qt_[A-Za-z0-9_-]{43}'", once.stderr)
    [line] = once.stdout.splitlines()
    summary = json.loads(line)
    assert (summary["total_runs"], summary["success_rate"]) == (1, 1.0)
    assert [run["episodes"] for run in summary["recent_runs"]] == [2]
    assert not (tmp_path / "state").exists()
    assert processes_on(settings["STATE_DIR"]) == []


def test_sigterm_ends_all_processes_and_removes_the_socket(tmp_path):
    state = deep_state(tmp_path)
    up = start(state)
    try:
        up.says("^Starting web, worker, beat, alerts, decide and Flower")
        up.process.terminate()
        status = up.process.wait(timeout=10)
    finally:
        up.process.kill()
    wait_for(lambda: not processes_on(up.environment["STATE_DIR"]), "all processes to end", 5)
    assert status == 0
    assert not private_socket(state).parent.exists()
