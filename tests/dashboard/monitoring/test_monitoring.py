"""docs/monitoring: what Prometheus and Grafana are told to look at is there."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from rl_training.alerts.models import Alert, AlertRule, Round
from rl_training.models import PolicyStore
from rl_training.presence import heartbeats
from tests.active_runs import claimed_run as started
from tests.dashboard.monitoring.test_metrics import history, scrape  # noqa: F401

FOLDER = Path(__file__).parents[3] / "docs/monitoring"


def expressions() -> dict[str, list[str]]:
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    dashboard = json.loads((FOLDER / "grafana.json").read_text())
    return {
        "alerts.yml": [rule["expr"] for group in rules["groups"] for rule in group["rules"]],
        "grafana.json": [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]],
    }


@pytest.mark.django_db
@pytest.mark.parametrize("file", expressions())
def test_each_metric_that_is_looked_at_is_told(file, history, scrape):  # noqa: F811
    started(PolicyStore.objects.create(name="other"))
    rule = AlertRule.objects.get_or_create(policy=history, kind="overdue")[0]
    Alert.objects.create(rule=rule, policy=history, kind="overdue", message="late")
    Round.objects.create(pk=1, began_at="2026-01-01T00:00:00Z")
    heartbeats.record("beat")
    scrape()
    told = set(re.findall(r"^(\w+)[ {]", scrape().content.decode(), re.MULTILINE))
    asked = {name for expression in expressions()[file] for name in re.findall(r"quantum_trader_\w+", expression)}
    assert len(asked) > 5
    assert asked - told == set()


def test_panels_do_not_overlap():
    cells: list[tuple[int, int]] = []
    for panel in json.loads((FOLDER / "grafana.json").read_text())["panels"]:
        place = panel["gridPos"]
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells += [(column, row) for column in columns for row in rows]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's package prometheus) is not installed")
def test_promtool_accepts_the_rules():
    checked = subprocess.run(
        ["promtool", "check", "rules", FOLDER / "alerts.yml"], capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
