import pytest

from rl_training.models import Comparison, PolicyStore
from rl_training.runs import work_lifecycle
from rl_training.versions import comparisons
from tests.active_runs import claim_comparison
from tests.api_clients import problem
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run

pytestmark = pytest.mark.django_db
COMPARISONS = "/api/v1/comparisons/"
ONE_AND_TWO = {"versions": [{"policy": "rl_v3", "number": 2}, {"policy": "rl_v3", "number": 1}]}
SP500, NASDAQ = {"market": {"source": "sp500"}}, {"market": {"source": "nasdaq"}}


@pytest.fixture(autouse=True)
def versions(policy):
    """Two versions of `rl_v3` on sp500 and one of `other` on nasdaq."""
    version_of(finished_run(PolicyStore.objects.create(name="other"), config=NASDAQ))
    return [version_of(finished_run(policy, config=SP500), number) for number in (1, 2)]


def request(client, body=ONE_AND_TWO):
    return client.post(COMPARISONS, body, content_type="application/json")


def test_requested_comparison_is_queued_and_read(operator):
    response = request(operator)
    assert response.status_code == 201
    found = operator.get(response.headers["Location"]).json()
    assert (found["status"], found["versions"]) == ("queued", ONE_AND_TWO["versions"])
    assert (found["requested_by"], found["market"], found["bars"]) == ("operator", "sp500", None)
    assert (found["answer"], found["result"]) == ("The comparison waits for a worker.", None)


def test_result_is_answered_in_words_and_numbers(operator):
    comparison_id = request(operator).json()["comparison_id"]
    accounts = [{"name": "a", "reference": False}, {"name": "b", "reference": False}]
    difference = {"account": 0, "other": 1, "mean": -0.0001, "low": -0.0003, "high": 0.0002}
    result = {"accounts": accounts, "differences": [difference]}
    claimed = claim_comparison(Comparison.objects.get())
    work_lifecycle.succeed(claimed, result=result, bars=812, bars_digest="ab")
    found = operator.get(f"{COMPARISONS}{comparison_id}/").json()
    sentence = "b earned more than a by 1 bp per bar (95 %: -2 to 3): not distinguishable on these 812 bars."
    assert found["answer"] == sentence
    [pair] = found["differences"]
    assert (pair["better"], pair["distinguishable"], pair["mean"]) == ("b", False, pytest.approx(1.0))
    assert found["result"] == result


def test_comparisons_are_listed_newest_first_without_their_results(operator, versions):
    first = request(operator).json()["comparison_id"]
    second = comparisons.request(versions).comparison_id
    rows = operator.get(COMPARISONS).json()["results"]
    assert [row["comparison_id"] for row in rows] == [second, first]
    assert [version["number"] for version in rows[0]["versions"]] == [1, 2]
    assert "result" not in rows[0]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([], "versions: "),
        ([{"policy": "rl_v3", "number": 1}], "versions: "),
        ([{"policy": "rl_v3", "number": 1}, {"policy": "rl_v3", "number": 9}], "no version 9 of a policy rl_v3"),
        ([{"policy": "rl_v3", "number": 1}, {"policy": "other", "number": 1}], "The versions have different markets"),
        ([{"policy": "rl_v3", "number": 1}, {"policy": "rl_v3", "number": 1}], "Select 2 to 8 different versions"),
    ],
)
def test_versions_that_cannot_be_compared_are_refused(operator, chosen, message):
    assert message in problem(request(operator, {"versions": chosen}), 400)["detail"]
    assert not Comparison.objects.exists()


def test_only_a_cancelled_comparison_can_be_cancelled_again(operator, versions):
    url = f"{COMPARISONS}{request(operator).json()['comparison_id']}/cancel/"
    for _ in range(2):
        assert operator.post(url, content_type="application/json").json()["status"] == "cancelled"
    work_lifecycle.fail(claim_comparison(comparisons.request(versions)), "no")
    ended = Comparison.objects.get(status="failed")
    found = problem(operator.post(f"{COMPARISONS}{ended}/cancel/", content_type="application/json"), 409)
    assert found["type"] == "urn:quantum-trader:problem:comparison-has-ended"


def test_unknown_comparison_is_not_found(viewer):
    for name in ("000000000000", "%00"):
        problem(viewer.get(f"{COMPARISONS}{name}/"), 404)
