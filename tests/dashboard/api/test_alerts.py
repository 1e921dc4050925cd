import pytest

from rl_training.alerts import state_changes
from rl_training.alerts.models import Alert, AlertRule
from tests.api_clients import JSON, client_of, problem
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
ALERTS = "/api/v1/alerts/"


@pytest.fixture
def alert(policy):
    run = finished_run(policy, status="failed")
    rule = AlertRule.objects.get_or_create(policy=policy, kind="run_failed")[0]
    return Alert.objects.create(rule=rule, policy=policy, kind="run_failed", run=run, message="no bars")


def acknowledge(client, number):
    return client.post(f"{ALERTS}{number}/acknowledge/", content_type=JSON)


def test_alert_is_listed_and_read(alert, operator):
    [found] = operator.get(ALERTS).json()["results"]
    assert (found["id"], found["kind"], found["policy"]) == (alert.pk, "run_failed", "rl_v3")
    assert found["severity"] == "critical"
    assert (found["run_id"], found["message"], found["resolved_at"]) == (alert.run.run_id, "no bars", None)
    assert operator.get(f"{ALERTS}{alert.pk}/").json() == found


def test_alerts_are_filtered(alert, operator):
    def number(**query):
        return len(operator.get(ALERTS, query).json()["results"])

    assert (number(state="open"), number(state="acknowledged"), number(state="resolved")) == (1, 0, 0)
    acknowledge(operator, alert.pk)
    assert (number(state="open"), number(state="acknowledged"), number(state="resolved")) == (0, 1, 0)
    state_changes.resolve([alert.pk])
    assert (number(state="open"), number(state="acknowledged"), number(state="resolved")) == (0, 0, 1)
    assert (number(policy="rl_v3"), number(kind="run_failed"), number(kind="reward")) == (1, 1, 0)
    assert number(opened_before="2020-01-01T00:00:00Z") == 0
    problem(operator.get(ALERTS, {"state": "lost"}), 400)
    problem(operator.get(ALERTS, {"policy": "other"}), 400)


def test_second_acknowledgement_changes_nothing(alert, operator):
    first = acknowledge(operator, alert.pk).json()
    assert first["acknowledged_by"] == "operator"
    assert acknowledge(client_of("admin"), alert.pk).json() == first


def test_resolved_alert_cannot_be_acknowledged(alert, operator):
    state_changes.resolve([alert.pk])
    assert problem(acknowledge(operator, alert.pk), 409)["type"] == "urn:quantum-trader:problem:alert-is-over"


@pytest.mark.parametrize("number", [0, 2**63, 9**99])
def test_unknown_alert_is_not_found(operator, number):
    problem(operator.get(f"{ALERTS}{number}/"), 404)
    problem(acknowledge(operator, number), 404)
