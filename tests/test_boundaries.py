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
    ("code", "forbidden"),
    [
        ("import quantum_trader.asgi, quantum_trader.urls, rl_training.admin, dashboard.urls", {"torch", "apprise"}),
        ("import celery_app, rl_training.schedule.scheduler", {"torch", "apprise"}),
        ("import celery_app, rl_training.tasks", {"torch", "apprise"}),
        ("import celery_app, rl_training.alerts.tasks", {"torch"}),
    ],
    ids=["web", "beat", "parent of the worker's pool", "alerts"],
)
def test_torch_is_of_the_process_that_trains_and_apprise_of_the_one_that_sends_messages(code, forbidden):
    assert not imported_by(SET_UP + code) & forbidden


def test_the_core_knows_nothing_of_the_rest():
    forbidden = {"django", "celery", "kombu", "redis", "rest_framework", "dashboard", "quantum_trader"}
    assert not imported_by("\n".join(f"import rl_training.core.{module}" for module in CORE)) & forbidden


def test_what_takes_seconds_to_import_does_not_keep_a_run_from_training():
    needed_at_times = {"arch", "pandas", "statsmodels", "ccxt"}
    assert not imported_by("import rl_training.core.run.training, rl_training.core.market.sources") & needed_at_times


def test_nothing_imports_the_dashboard():
    sources = [path for folder in ("rl_training", "quantum_trader") for path in (ROOT / folder).rglob("*.py")]
    importing = [
        path.name for path in sources if "import dashboard" in (text := path.read_text()) or "from dashboard" in text
    ]
    assert importing == []
