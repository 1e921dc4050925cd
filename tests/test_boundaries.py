"""Who may import whom, seen by importing in a Python of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted(path.stem for path in (ROOT / "rl_training/core").glob("*.py") if path.stem != "__init__")
SET_UP = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup()\n"


def imported_by(code: str) -> set[str]:
    """The top-level packages that a fresh Python holds after running the code."""
    program = f"{code}\nimport sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(output.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import quantum_trader.asgi, quantum_trader.urls, rl_training.admin, dashboard.urls",
        "import celery_app, rl_training.scheduler",
        "import celery_app, rl_training.tasks",
        "import celery_app, rl_training.alerts.tasks",
    ],
    ids=["web", "beat", "parent of the worker's pool", "alerts"],
)
def test_only_the_process_that_trains_imports_torch(code):
    assert "torch" not in imported_by(SET_UP + code)


def test_the_core_knows_nothing_of_the_rest():
    forbidden = {"django", "celery", "kombu", "redis", "rest_framework", "dashboard", "quantum_trader"}
    assert not imported_by("\n".join(f"import rl_training.core.{module}" for module in CORE)) & forbidden


def test_nothing_imports_the_dashboard():
    sources = [path for folder in ("rl_training", "quantum_trader") for path in (ROOT / folder).rglob("*.py")]
    importing = [
        path.name for path in sources if "import dashboard" in (text := path.read_text()) or "from dashboard" in text
    ]
    assert importing == []


@pytest.mark.parametrize(
    "code",
    ["import quantum_trader.asgi, quantum_trader.urls, rl_training.admin", "import celery_app, rl_training.scheduler"],
)
def test_only_the_process_that_sends_messages_imports_apprise(code):
    assert "apprise" not in imported_by(SET_UP + code)
