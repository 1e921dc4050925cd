"""The pages of comparisons on new bars."""

from datetime import UTC, datetime, timedelta
from itertools import accumulate

import pytest

from dashboard.pages.policy.challengers import choices_of
from rl_training.core.market_config import MarketConfig
from rl_training.models import ArmComparison, PolicyStore
from tests.api_clients import user_of
from tests.dashboard.pages.page_rows import version_of
from tests.dashboard.pages.page_text import words
from tests.decisions.conftest import market_root, versions
from tests.decisions.growing import Growing, closing, set_up
from tests.stored import deploy, finished_run

__all__ = ["market_root", "versions"]
pytestmark = pytest.mark.django_db


def test_comparison_is_begun_followed_and_ended(client, policy, versions, market_root):
    set_up(policy)
    growing = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(hours=2)))
    deploy(versions[0], at=growing.now - timedelta(days=1))
    growing.round()
    growing.grow(3)
    client.force_login(user_of("operator"))
    question = words(client.get("/policies/rl_v3/compare-arms/").content.decode())
    assert "This is trial 1 on growing.csv. The trial may spend 0.03 of the 0.05 that is left of 0.05" in question
    wanted = {"a": "live", "b": "buy_and_hold", "largest_loss": 0.1, "floor": 0}
    text = words(client.post("/policies/rl_v3/compare-arms/", wanted, follow=True).content.decode())
    comparison = ArmComparison.objects.get()
    assert f"Comparison {comparison} has begun. It is trial 1 on growing.csv." in text
    assert "No bar has been compared yet" in text
    growing.grow(5)
    page = f"/arm-comparisons/{comparison}/"
    text = words(client.get(page).content.decode())
    assert "After 5 bars K is" in text
    assert "rl_v3 : buy and hold against the live version" in text.replace("rl_v3:", "rl_v3 :")
    charts = {key: client.get(f"{page}charts/{key}.json").json() for key in ("paired", "evidence")}
    assert [len(chart["data"][0]) for chart in charts.values()] == [5, 5]
    assert charts["evidence"]["series"][1]["label"] == "Threshold"
    gains = comparison.compared_bars.order_by("opened_at").values_list("difference", flat=True)
    assert charts["paired"]["data"][1] == pytest.approx(list(accumulate(gains)), abs=1e-6)
    assert "buy and hold against the live version" in words(client.get("/arm-comparisons/").content.decode())
    assert "buy and hold against the live version" in words(client.get("/policies/rl_v3/decisions/").content.decode())
    client.post(f"{page}end/")
    assert "Ended by operator." in words(client.get(page).content.decode())
    same = client.post("/policies/rl_v3/compare-arms/", wanted | {"b": "live"}, follow=True)
    assert "An arm cannot be compared with itself." in words(same.content.decode())


def test_arms_of_other_policies_are_offered_without_loading_these(policy, versions, django_assert_num_queries):
    set_up(policy)
    for name, market in (("same", policy.market), ("elsewhere", MarketConfig())):
        other = PolicyStore.objects.create(name=name, market=market)
        version_of(finished_run(other))
    PolicyStore.objects.create(name="untrained", market=policy.market)
    with django_assert_num_queries(2):
        offered = dict(choices_of(policy))
    assert [name for name in offered if name.startswith("newest:")] == ["newest:same"]
