"""Tests that the rules and the Grafana dashboard of docs/monitoring use existing metrics."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from django.utils import timezone

from rl_training.alerts.models import Alert, AlertRule, Round
from rl_training.models import PolicyStore
from rl_training.presence import heartbeats
from tests.active_runs import claimed_run as started
from tests.dashboard.monitoring.conftest import follow_market, read_storage

FOLDER = Path(__file__).parents[3] / "docs/monitoring"


def expressions() -> dict[str, list[str]]:
    """Return the Prometheus expressions of each file."""
    rules = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    dashboard = json.loads((FOLDER / "grafana.json").read_text())
    return {
        "alerts.yml": [rule["expr"] for group in rules["groups"] for rule in group["rules"]],
        "grafana.json": [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]],
    }


@pytest.mark.django_db
@pytest.mark.parametrize("file", expressions())
def test_metrics_of_rules_and_dashboard_exist(file, history, scrape):
    started(PolicyStore.objects.create(name="other"))
    rule = AlertRule.objects.get_or_create(policy=history, kind="overdue")[0]
    Alert.objects.create(rule=rule, policy=history, kind="overdue", message="late")
    Round.objects.create(pk=1, began_at="2026-01-01T00:00:00Z")
    heartbeats.record("beat")
    read_storage()
    follow_market(history, newest_at=timezone.now(), failures=0)
    scrape()
    reported = set(re.findall(r"^(\w+)[ {]", scrape().content.decode(), re.MULTILINE))
    used = {name for expression in expressions()[file] for name in re.findall(r"quantum_trader_\w+", expression)}
    assert len(used) > 5
    assert used - reported == set()


def test_panels_do_not_overlap():
    cells: list[tuple[int, int]] = []
    for panel in json.loads((FOLDER / "grafana.json").read_text())["panels"]:
        place = panel["gridPos"]
        columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells += [(column, row) for column in columns for row in rows]
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian's package prometheus) is not installed")
def test_promtool_accepts_the_rules():
    checked = subprocess.run(
        ["promtool", "check", "rules", FOLDER / "alerts.yml"], capture_output=True, text=True, timeout=30, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
