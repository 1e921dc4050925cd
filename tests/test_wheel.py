"""`pip install .` makes `rl_training.core` importable in another project, without Django."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CORE = ROOT / "rl_training" / "core"
# pydantic pins this package exactly.
THROUGH_OTHERS = {"pydantic-core"}
USE = """
import sys
sys.path.insert(0, sys.argv[1])
sys.modules |= dict.fromkeys(("django", "celery", "redis", "rest_framework", "quantum_trader", "dashboard"))
import importlib, pkgutil
import rl_training.core
assert rl_training.core.__file__.startswith(sys.argv[1])
for module in pkgutil.walk_packages(rl_training.core.__path__, "rl_training.core."):
    importlib.import_module(module.name)
from rl_training.core.run.training import warm_up
warm_up()
print("trained")
"""


@pytest.mark.system
def test_wheel_is_used_from_another_folder_without_django(tmp_path):
    # A copy, because pip leaves the folder `build` where it builds.
    source, wheels, installed = tmp_path / "source", tmp_path / "wheels", tmp_path / "installed"
    shutil.copytree(ROOT / "rl_training", source / "rl_training", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    alone = ["--no-index", "--no-deps"]
    subprocess.run([*pip, "wheel", *alone, "--no-build-isolation", "-w", wheels, source], check=True, cwd=tmp_path)
    [wheel] = wheels.iterdir()
    subprocess.run([*pip, "install", *alone, "--target", installed, wheel], check=True, cwd=tmp_path)
    files = {path.relative_to(installed).as_posix() for path in installed.rglob("*.py")}
    assert files == {path.relative_to(ROOT).as_posix() for path in CORE.rglob("*.py")}
    # Compiling the functions once more, for the new folder, would take half a minute.
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-P", "-c", USE, str(installed)]
    used = subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert used.stdout.splitlines()[-1] == "trained"


def test_dependencies_are_the_packages_that_core_imports():
    distributions = packages_distributions()
    imported = set()
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names.append(node.module or "")
            imported |= {name.partition(".")[0] for name in names}
    third_party = imported - sys.stdlib_module_names - {"rl_training"}
    # The file with the shipped bars is read from the package arch, which is not imported everywhere.
    needed = {canonicalize_name(distributions[name][0]) for name in third_party} | {"arch"}
    assert needed - THROUGH_OTHERS == set(dependencies()) | set(dependencies("export"))


def test_installed_versions_satisfy_dependencies():
    for name, requirement in (dependencies() | dependencies("export")).items():
        assert requirement.specifier.contains(version(name).partition("+")[0]), requirement


def dependencies(extra: str = "") -> dict[str, Requirement]:
    """Return what the core requires, or what one of its extras does, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = project["optional-dependencies"][extra] if extra else project["dependencies"]
    requirements = map(Requirement, named)
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}
