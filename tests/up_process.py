"""A process of `manage.py up` on a state directory, as a user at a terminal sees it."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

from quantum_trader.state_dir import free_ports
from tests import databases
from tests.waiting import wait_for

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "manage.py", "up"]


@dataclass
class Up:
    """A process of `manage.py up`; `console` holds its output."""

    environment: dict[str, str]
    console: Path
    process: "subprocess.Popen[bytes]"

    def says(self, pattern: str, seconds: float = 150) -> "re.Match[str]":
        """Return the first match of `pattern` in the output, waiting for it."""

        def found() -> "re.Match[str] | None":
            assert self.process.poll() is None, self.console.read_text()
            return re.search(pattern, self.console.read_text(), re.MULTILINE)

        match = wait_for(found, f"a line with {pattern!r}", seconds)
        assert match
        return match


def environment(state: Path, **others: str) -> dict[str, str]:
    web, flower = free_ports(2)
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "quantum_trader.settings",
        "STATE_DIR": str(state),
        **dict.fromkeys(["DATABASE_URL", "REDIS_URL", "ADMIN_PASSWORD"], ""),
        "FLOWER_BASIC_AUTH": "admin:$for:tests,viewer:other",
        "WEB_PORT": str(web),
        "FLOWER_PORT": str(flower),
        **others,
    }


def start(state: Path, **others: str) -> Up:
    console, settings = state.with_name(f"{state.name[:20]}-console"), environment(state, **others)
    with console.open("w") as output:
        process = subprocess.Popen(COMMAND, cwd=ROOT, env=settings, stdout=output, stderr=subprocess.STDOUT)
    return Up(settings, console, process)


def processes_on(state: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("STATE_DIR") == state:
                found.append(process)
        except psutil.Error:  # The process has ended meanwhile or belongs to another user.
            continue
    return found


def deep_state(folder: Path) -> Path:
    """Return a state directory with tables, as after a first start; its path is too long for a unix socket."""
    state = folder / ("deep" * 30)
    state.mkdir(mode=0o700)
    databases.copy_template(state)
    return state
