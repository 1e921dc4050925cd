import json
from itertools import pairwise

import pytest
from django.db import connection

from benchmarks.results.figures import Figure
from benchmarks.version_rows.start_rules import KINDS, start_rules
from benchmarks.versions import parse
from rl_training.core.market.planted import planted_market
from rl_training.models import Comparison, Deployment, PolicyStore


@pytest.mark.parametrize(("value", "ok", "verdict"), [(95.0, True, "ok"), (94.9, False, "short")])
def test_row_of_json_has_the_target_and_whether_it_is_reached(value, ok, verdict):
    figure = Figure("AR(1)", value, "%", at_least=95)
    assert json.loads(json.dumps(figure.as_dict())) == {
        "what": "AR(1) (%)",
        "value": value,
        "target": ">= 95 %",
        "ok": ok,
    }
    assert figure.cells()[-1] == verdict


def test_row_without_a_target_has_no_verdict():
    assert Figure("throughput", 7.0, "1/s").as_dict() == {
        "what": "throughput (1/s)",
        "value": 7.0,
        "target": None,
        "ok": None,
    }


def test_market_has_the_training_bars_first_and_the_fresh_bars_after():
    market = KINDS[0].seeded(3).market
    assert len(planted_market(market)) == 17_000
    assert int(17_000 * market.train_fraction) == 5_000


def test_default_is_compared_with_warm_starts_and_with_the_default_before():
    assert [(rule.seeds, rule.continues) for rule in start_rules(3)] == [(3, False), (3, True), (1, True)]


def test_part_that_does_not_exist_is_refused():
    with pytest.raises(SystemExit):
        parse(["--only", "speed"])


@pytest.mark.django_db(transaction=True)
def test_stored_deployments_follow_each_other():
    if connection.vendor != "postgresql":
        pytest.skip("the benchmark stores its rows on PostgreSQL")
    from benchmarks.version_rows.stored_versions import store_deployments, store_versions

    policies = [PolicyStore.objects.get_or_create(name=name)[0] for name in ("rl_v3", "other")]
    for policy in policies:
        store_versions(policy, 2)
    store_deployments(policies, 10)
    for policy in policies:
        rows = list(policy.deployments.order_by("at"))
        assert len(rows) == 5
        assert all(later.previous_id == earlier.pk for earlier, later in pairwise(rows))
        assert {row.version_id for row in rows} == {policy.versions.get(number=1).pk}
    assert Deployment.objects.count() == 10


@pytest.mark.django_db(transaction=True)
def test_stored_comparison_is_a_finished_one_of_the_newest_versions():
    if connection.vendor != "postgresql":
        pytest.skip("the benchmark stores its rows on PostgreSQL")
    from benchmarks.version_rows.stored_versions import store_comparison, store_versions

    policy, _ = PolicyStore.objects.get_or_create(name="rl_v3")
    store_versions(policy, 3)
    comparison = Comparison.objects.get(comparison_id=store_comparison(policy, 2))
    assert [version.number for version in comparison.compared()] == [3, 2]
    assert comparison.status == "succeeded"
    assert comparison.result is not None
    assert len(comparison.result["accounts"]) == 7
