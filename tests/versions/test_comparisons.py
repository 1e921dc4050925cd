from datetime import timedelta

import pytest
from django.utils import timezone

from rl_training.models import Comparison, PolicyStore, PolicyVersion
from rl_training.runs import work_lifecycle
from rl_training.versions import comparisons
from rl_training.versions.comparisons import CannotCompareError
from tests.active_runs import claim_comparison
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
SP500 = {"source": "sp500"}


@pytest.fixture(autouse=True)
def versions(policy):
    """Three versions that were trained on sp500."""
    return [version_of(finished_run(policy, config={"market": SP500}), number) for number in (1, 2, 3)]


def of_market(**market):
    """Store a version of another policy, trained on this market."""
    policy = PolicyStore.objects.create(name=f"other_{PolicyStore.objects.count()}")
    return version_of(finished_run(policy, config={"market": market}))


def running(versions):
    comparison = comparisons.request(versions, send_message=False)
    return claim_comparison(comparison)


def status(comparison):
    comparison.refresh_from_db()
    return comparison.status


def test_request_keeps_the_order_of_the_versions(versions):
    comparison = comparisons.request([versions[2], versions[0]])
    assert [version.number for version in comparison.compared()] == [3, 1]
    assert (comparison.status, comparison.market, len(comparison.comparison_id)) == ("queued", "sp500", 12)


def test_versions_of_different_policies_on_one_market_are_compared(versions):
    comparison = comparisons.request([versions[0], of_market(source="sp500", train_fraction=0.5)])
    assert [str(version) for version in comparison.compared()] == ["rl_v3 version 1", "other_1 version 1"]


def test_versions_of_different_markets_are_refused(versions):
    with pytest.raises(CannotCompareError) as error:
        comparisons.request([versions[0], of_market(source="nasdaq")])
    expected = "The versions have different markets: rl_v3 version 1 has sp500, other_1 version 1 has nasdaq."
    assert str(error.value) == expected
    assert not Comparison.objects.exists()


def test_planted_markets_with_other_seeds_are_refused():
    with pytest.raises(CannotCompareError, match="has synthetic: AR.1. phi=0.2, seed 1[.]$"):
        comparisons.request([of_market(source="planted"), of_market(source="planted", planted_seed=1)])


def test_market_of_an_exchange_reaches_back_to_the_earliest_bar_of_all():
    exchange = {"source": "exchange", "exchange": "kraken", "symbol": "BTC/USD"}
    found = [of_market(**exchange, bars=500), of_market(**exchange, bars=900)]
    assert comparisons.common_market(found).bars == 900


@pytest.mark.parametrize("places", [[], [0], [0, 0]])
def test_fewer_than_two_different_versions_are_refused(versions, places):
    with pytest.raises(CannotCompareError, match="Select 2 to 8 different versions"):
        comparisons.request([versions[place] for place in places])


def test_version_without_weights_is_refused(versions):
    PolicyVersion.objects.filter(number=2).update(weights_removed_at=timezone.now())
    with pytest.raises(CannotCompareError, match=r"The weights of rl_v3 version 2 were removed\."):
        comparisons.request(versions)
    assert not Comparison.objects.exists()


def test_unreadable_market_is_refused(versions, policy):
    with pytest.raises(CannotCompareError, match="The market of rl_v3 version 4 is stored unreadable"):
        comparisons.request([versions[0], version_of(finished_run(policy, config={}), 4)])


def test_request_of_the_same_versions_returns_the_active_comparison(versions):
    first = comparisons.request(versions[:2])
    assert comparisons.request(versions[:2]) == first
    assert comparisons.request(versions[1::-1]) != first
    assert comparisons.request(versions) != first
    work_lifecycle.fail(claim_comparison(first), "no")
    assert comparisons.request(versions[:2]) != first


def test_newest_comparison_of_versions_is_found_unless_it_failed(versions):
    ids = [versions[0].pk, versions[1].pk]
    assert comparisons.newest_of(ids) is None
    comparison = running(versions[:2])
    assert comparisons.newest_of(ids) == comparison
    assert comparisons.newest_of(ids[::-1]) is None
    work_lifecycle.fail(comparison, "no")
    assert comparisons.newest_of(ids) is None


def test_comparison_is_claimed_once(versions):
    comparison = comparisons.request(versions)
    assert claim_comparison(comparison).attempt == 1
    assert work_lifecycle.claim(Comparison, comparison.comparison_id) is None


def test_worker_that_lost_its_comparison_changes_nothing(versions):
    lost = running(versions)
    comparisons.release(Comparison.objects.get())
    again = claim_comparison(lost)
    assert not work_lifecycle.heartbeat(lost)
    assert not work_lifecycle.succeed(lost, bars=1)
    assert work_lifecycle.succeed(again, bars=2)
    assert Comparison.objects.get().bars == 2


def test_ended_comparison_never_changes(versions):
    comparison = running(versions)
    work_lifecycle.succeed(comparison, bars=2)
    assert not work_lifecycle.fail(comparison, "no")
    assert not comparisons.release(comparison)
    assert not work_lifecycle.cancel(comparison)
    assert status(comparison) == "succeeded"


@pytest.mark.parametrize("claimed", [True, False])
def test_cancelled_comparison_gets_no_result(versions, claimed):
    comparison = running(versions) if claimed else comparisons.request(versions)
    assert work_lifecycle.cancel(comparison)
    assert not work_lifecycle.succeed(comparison, bars=2)
    assert status(comparison) == "cancelled"


def silent(comparison):
    """Set the last heartbeat of the comparison's worker to a day ago."""
    Comparison.objects.update(heartbeat_at=timezone.now() - timedelta(days=1))
    comparisons.maintain(timezone.now(), may_reap=True)
    return status(comparison)


def test_comparison_with_lost_worker_is_requeued_and_fails_at_the_third(versions):
    comparison = running(versions)
    for lost in (1, 2):
        assert silent(comparison) == "queued"
        comparison = claim_comparison(comparison)
        assert (comparison.attempt, comparison.workers_lost) == (lost + 1, lost)
    assert silent(comparison) == "failed"
    assert comparison.error == "worker lost in 3 attempts"


def test_comparison_with_a_heartbeat_is_not_requeued(versions):
    comparison = running(versions)
    comparisons.maintain(timezone.now(), may_reap=True)
    assert status(comparison) == "running"


def test_lost_workers_are_not_searched_for_after_an_outage(versions):
    comparison = running(versions)
    Comparison.objects.update(heartbeat_at=timezone.now() - timedelta(days=1))
    comparisons.maintain(timezone.now(), may_reap=False)
    assert status(comparison) == "running"


def test_compared_versions_are_kept_for_good(versions):
    comparisons.request(versions[:2])
    assert set(PolicyVersion.objects.kept_for_good()) == set(versions[:2])
