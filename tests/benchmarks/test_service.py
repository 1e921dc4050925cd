import math

import pytest
from django.db import connection

from benchmarks.results.figures import Figure
from benchmarks.service import PARTS, table
from benchmarks.system.console import Console
from benchmarks.system.service_measurements import PARTS as MEASURED
from benchmarks.system.stored_rows import store_runs
from rl_training.models import PolicyStore, TrainingRun


@pytest.mark.parametrize(
    ("value", "at_most", "verdict"),
    [(1.0, 1.0, "ok"), (1.1, 1.0, "short"), (math.nan, 1.0, "short"), (1.0, None, "-")],
)
def test_verdict_is_ok_only_if_the_target_is_reached(value, at_most, verdict):
    assert Figure("wait", value, "s", at_most).cells()[-1] == verdict


def test_table_is_markdown_with_aligned_columns():
    lines = table({"run": [Figure("wait", 0.5, "s", 1.0)], "memory": [Figure("web", 101.5, "MB")]}).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].startswith("| run    | wait     | 0.5 s    | <= 1 s   | ok")


def test_every_part_option_has_a_measurement():
    assert tuple(MEASURED) == PARTS


def test_console_returns_each_complete_line_once(tmp_path):
    console = Console(tmp_path / "log")
    console.path.write_text('not JSON\n{"event": "a"}\n{"event": "b')
    assert console.entries() == [{"event": "a"}]
    console.path.write_text('not JSON\n{"event": "a"}\n{"event": "b"}\n')
    assert console.entries() == [{"event": "b"}]


@pytest.mark.django_db(transaction=True)
def test_stored_runs_equal_the_policys_counts(policy):
    if connection.vendor != "postgresql":
        pytest.skip("runs are stored by PostgreSQL's own functions")
    store_runs(40, at_once=15)
    policy = PolicyStore.objects.get(pk=policy.pk)
    assert (policy.total_runs, policy.succeeded_runs) == (40, 36)
    for run in TrainingRun.objects.all():
        run.full_clean(exclude=["episode_rewards"])
