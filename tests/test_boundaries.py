"""Design rules, checked for every module: which imports are allowed, and how large files and folders may be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("quantum_trader", "rl_training", "dashboard", "benchmarks", "tests")
# From the top to the bottom: a module imports from its own room and from rooms further down. A module belongs to the
# room with the longest matching name, so "rl_training" holds the files that lie in no other room of rl_training.
ROOMS = (
    "quantum_trader.asgi",
    "quantum_trader.wsgi",
    "quantum_trader.urls",
    "dashboard.urls",
    "dashboard.api",
    "dashboard.pages",
    "dashboard.charts",
    "dashboard.live",
    "dashboard.monitoring",
    "dashboard",
    "rl_training.management",
    "rl_training.alerts",
    "rl_training.admin",
    "rl_training.tasks",
    "rl_training.schedule",
    "rl_training.worker",
    "rl_training.decisions",
    "rl_training.validation",
    "rl_training.storage",
    "rl_training.versions",
    "rl_training.runs",
    "rl_training.streams",
    "rl_training.files",
    "rl_training.presence",
    "rl_training.accounts",
    "rl_training",
    "rl_training.core.run",
    "rl_training.core.deciding",
    "rl_training.core.evaluation",
    "rl_training.core.ppo",
    "rl_training.core.trading",
    "rl_training.core.market",
    "rl_training.core",
    "quantum_trader",
    "celery_app",
)
# Imports that the order alone would allow.
FORBIDDEN = (
    ("rl_training.core.ppo", "rl_training.core.trading"),
    ("rl_training.core.ppo", "rl_training.core.market"),
    ("rl_training.core", "quantum_trader"),
    ("rl_training.core", "celery_app"),
)
MOST_MODULES, MOST_LINES = 15, 300
MEASURED_SUFFIXES = {".py", ".md", ".html", ".js", ".css", ".yml", ".yaml"}
# These names were once used for several modules each, which readers confused.
UNIQUE_NAMES = {"compiled", "lifecycle", "health", "stored", "problems", "messages"}


@cache
def modules() -> dict[str, Path]:
    """Return the path of each module of the project by its dotted name."""
    paths = [ROOT / "celery_app.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    return {name_of(path): path for path in sorted(paths)}


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports() -> dict[str, set[str]]:
    """Return the project's modules that each module imports, in functions and under TYPE_CHECKING too."""
    return {name: set(imported_modules(name, path)) - {name} for name, path in modules().items()}


def imported_modules(name: str, path: Path) -> Iterator[str]:
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules())
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            source = ".".join([*parents, *([node.module] if node.module else [])])
            submodules = {f"{source}.{alias.name}" for alias in node.names} & modules().keys()
            yield from submodules
            # `from package import module` needs nothing from the package itself.
            if source in modules() and len(submodules) < len(node.names):
                yield source


def room_of(name: str) -> str | None:
    return max((room for room in ROOMS if f"{name}.".startswith(f"{room}.")), key=len, default=None)


def is_allowed(importer: str, imported: str) -> bool:
    room, other = room_of(importer), room_of(imported)
    if room is None:
        return True
    if other is None or ROOMS.index(other) < ROOMS.index(room):
        return False
    forbidden = (below for above, below in FORBIDDEN if f"{room}.".startswith(f"{above}."))
    return not any(f"{other}.".startswith(f"{below}.") for below in forbidden)


def report(violations: list[str]) -> None:
    """Fail with all violations, which an assertion would cut short."""
    if violations:
        pytest.fail("\n".join(violations), pytrace=False)


def test_modules_import_only_from_their_room_and_rooms_below():
    violations = [
        f"{importer} imports {imported}"
        for importer, names in imports().items()
        for imported in sorted(names)
        if not is_allowed(importer, imported)
    ]
    report(violations)


def test_modules_import_each_other_in_no_cycle():
    report([" -> ".join(cycle) for cycle in cycles(imports())])


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return one cycle for each edge that a depth-first search finds to lead back to a module on its path."""
    found: list[list[str]] = []
    finished: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in finished:
            for imported in sorted(graph[name]):
                visit(imported, [*path, name])
            finished.add(name)

    for name in graph:
        visit(name, [])
    return found


def test_cycles_are_found_in_a_graph_that_has_one():
    graph = {"a": {"b", "d"}, "b": {"c"}, "c": {"a"}, "d": set[str]()}
    assert cycles(graph) == [["a", "b", "c", "a"]]


def test_folders_have_at_most_15_modules():
    unlimited = {ROOT / "tests", ROOT / "rl_training/management/commands"}
    folders = {path.parent for path in modules().values()} - unlimited
    counts = {
        folder.relative_to(ROOT): len([path for path in folder.glob("*.py") if path.stem != "__init__"])
        for folder in folders
        if folder.name != "migrations"
    }
    violations = [f"{folder} has {count} modules" for folder, count in sorted(counts.items()) if count > MOST_MODULES]
    report(violations)


def test_files_have_at_most_300_lines():
    folders = [ROOT / folder for folder in (*PACKAGES, "docs")]
    paths = [*ROOT.iterdir(), *(path for folder in folders for path in folder.rglob("*"))]
    measured = [
        path
        for path in sorted(paths)
        if path.suffix in MEASURED_SUFFIXES and not {"vendor", "migrations"} & set(path.parts)
    ]
    counts = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in measured}
    violations = [f"{path} has {count} lines" for path, count in counts.items() if count > MOST_LINES]
    report(violations)


def test_names_that_readers_confused_belong_to_one_module_each():
    named = {name: [module for module in modules() if module.split(".")[-1] == name] for name in UNIQUE_NAMES}
    violations = [f"{name}: {', '.join(owners)}" for name, owners in sorted(named.items()) if len(owners) > 1]
    report(violations)


SET_UP = "import os, django; os.environ['DJANGO_SETTINGS_MODULE'] = 'tests.settings'; django.setup()\n"


def packages_loaded_by(code: str) -> set[str]:
    """Return the top-level packages that a fresh Python holds after it has run the code."""
    program = f"{code}\nimport sys; print(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    output = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    return set(output.stdout.split())


@pytest.mark.process
@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import quantum_trader.asgi, quantum_trader.urls, rl_training.admin, dashboard.urls", {"torch", "apprise"}),
        ("import celery_app, rl_training.schedule.scheduler", {"torch", "apprise"}),
        ("import celery_app, rl_training.tasks", {"torch", "apprise"}),
        ("import celery_app, rl_training.alerts.tasks", {"torch"}),
        (
            "import celery_app, rl_training.decisions.process.tasks, rl_training.decisions.process.loop",
            {"torch", "apprise", "ccxt"},
        ),
    ],
    ids=["web", "beat", "parent of the worker's pool", "alerts", "decide"],
)
def test_process_loads_torch_and_apprise_only_where_they_are_needed(code, forbidden):
    assert not packages_loaded_by(SET_UP + code) & forbidden


@pytest.mark.process
def test_core_loads_no_framework():
    core = [name for name in modules() if name.startswith("rl_training.core.")]
    forbidden = {"django", "celery", "kombu", "redis", "rest_framework", "dashboard", "quantum_trader"}
    assert not packages_loaded_by("\n".join(f"import {name}" for name in core)) & forbidden


@pytest.mark.process
def test_decisions_load_no_torch():
    assert "torch" not in packages_loaded_by("import rl_training.core.deciding.decision")


@pytest.mark.process
def test_training_loads_no_package_that_takes_seconds_and_is_rarely_used():
    rarely_used = {"arch", "pandas", "statsmodels", "ccxt"}
    assert not packages_loaded_by("import rl_training.core.run.training, rl_training.core.market.sources") & rarely_used
