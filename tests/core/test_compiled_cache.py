import shutil
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).parents[2] / "rl_training" / "core"
PROGRAM = "import numba, rl_training.core.trading.accounting; print(numba.config.CACHE_DIR)"


def test_changed_source_in_a_subfolder_changes_the_cache_folder(tmp_path, environment_of_processes):
    core = tmp_path / "rl_training" / "core"
    shutil.copytree(CORE, core, ignore=shutil.ignore_patterns("__pycache__"))

    def folder() -> str:
        run = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=tmp_path,
            env=environment_of_processes | {"NUMBA_CACHE_DIR": ""},
            capture_output=True,
            text=True,
            check=True,
        )
        return run.stdout.strip()

    before = folder()
    assert Path(before).parent == core / "__pycache__"
    assert folder() == before
    # This file contains no compiled function, but a constant that compiled functions read.
    (core / "trading" / "features.py").write_text((core / "trading" / "features.py").read_text() + "\n")
    assert folder() != before
