import pytest

from rl_training.models import Comparison, PolicyStore
from rl_training.runs import work_lifecycle
from rl_training.versions import comparisons
from tests.active_runs import claim_comparison
from tests.dashboard.pages.page_rows import version_of
from tests.dashboard.pages.page_text import words
from tests.stored import MARKUP, finished_run

pytestmark = pytest.mark.django_db
NEW = "/comparisons/new/"
BOTH = f"{NEW}?version=rl_v3%3A1&version=rl_v3%3A2"
BODY = {"version": ["rl_v3:1", "rl_v3:2"]}
ACCOUNTS = [("rl_v3 version 1", 1.1), ("rl_v3 version 2", 1.3), ("buy and hold", 1.2)]
RESULT = {
    "bars": 1,
    "costs": {"fee": 0.0005},
    "accounts": [
        {"name": name, "reference": name == "buy and hold", "total_return": end - 1, "equity_curve": [1.0, end]}
        for name, end in ACCOUNTS
    ],
    "differences": [{"account": 0, "other": 1, "mean": -0.0002, "low": -0.0003, "high": -0.0001}],
    "timestamps": ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
    "resamples": 10_000,
    "block_length": 3,
}


@pytest.fixture(autouse=True)
def versions(policy):
    """Two versions on sp500 with other seeds and other fees."""
    config = {"market": {"source": "sp500"}, "environment": {"fee": 0.001}}
    summary = {"bars": 5031, "digest": "ab"}
    return [
        version_of(finished_run(policy, config=config | {"episodes": number}, market_summary=summary), number)
        for number in (1, 2)
    ]


def succeeded(versions, result=RESULT):
    comparison = claim_comparison(comparisons.request(versions))
    work_lifecycle.succeed(comparison, result=result, bars=812, bars_digest="cd")
    return f"/comparisons/{comparison}/"


def test_selected_versions_are_compared_after_a_question(signed_in):
    operator = signed_in("operator")
    text = words(operator.get(BOTH).content.decode())
    assert "rl_v3 version 1 , rl_v3 version 2" in text
    answer = operator.post(NEW, BODY)
    comparison = Comparison.objects.get()
    assert answer.url == f"/comparisons/{comparison}/"
    assert "The comparison waits for a worker." in words(operator.get(answer.url).content.decode())
    assert "by operator" in words(operator.get(answer.url).content.decode())


def test_existing_comparison_is_shown_instead_of_the_question(signed_in, versions):
    url = succeeded(versions)
    operator = signed_in("operator")
    assert operator.get(BOTH).url == url
    again = operator.get(f"{BOTH}&again=1").content.decode()
    assert "These versions were compared before" in words(again)
    assert url in again


def test_viewer_sees_comparisons_but_requests_none(page, client, versions):
    url = succeeded(versions)
    page(url)
    page("/comparisons/")
    assert "An operator can compare these versions." in words(page(f"{BOTH}&again=1"))
    assert client.post(NEW, BODY).status_code == 403
    assert Comparison.objects.count() == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("version=rl_v3:1&version=rl_v3:9", "There is no version 9 of a policy rl_v3."),
        ("version=rl_v3", "names no version; write POLICY:NUMBER"),
        ("version=rl_v3:1&version=other:1", "The versions have different markets: rl_v3 version 1 has sp500"),
        ("version=%00:1", "There is no version 1 of a policy"),
    ],
)
def test_selection_that_cannot_be_compared_is_explained(signed_in, query, message):
    nasdaq = {"market": {"source": "nasdaq"}}
    version_of(finished_run(PolicyStore.objects.create(name="other"), config=nasdaq))
    operator = signed_in("operator")
    html = operator.get(f"{NEW}?{query}").content.decode()
    assert message in words(html)
    assert ">Compare</button>" not in html


def test_post_of_a_selection_that_cannot_be_compared_requests_nothing(signed_in):
    answer = signed_in("operator").post(NEW, {"version": ["rl_v3:1"]})
    assert "Select 2 to 8 different versions." in words(answer.content.decode())
    assert not Comparison.objects.exists()


def test_comparison_answers_first_and_shows_curves_differences_and_bars(page, versions):
    html = page(succeeded(versions))
    text = words(html)
    answer = (
        "rl_v3 version 2 earned more than rl_v3 version 1 by 2 bp per bar (95 %: 1 to 3): distinguishable on these 812"
    )
    assert text.index(answer) < text.index("At the end: rl_v3 version 1 1.100, rl_v3 version 2 1.300, buy and hold")
    assert "rl_v3 version 2 rl_v3 version 1 2.00 1.00 to 3.00 distinguishable" in text
    assert "Total return 10.00 % 30.00 % 20.00 %" in text
    assert "Digest of the bars cd fee 0.0005" in text
    assert "episodes 1 2" in text
    assert "Data of their runs: the same in all versions." in text
    assert "data-waits" not in html


def test_chart_of_the_difference_is_of_log_equity(page, client, versions):
    url = succeeded(versions)
    page(url)
    found = client.get(f"{url}charts/difference.json").json()
    assert [one["label"] for one in found["series"]] == ["rl_v3 version 2"]
    assert found["data"][1] == [0.0, 0.167054]
    equity = client.get(f"{url}charts/equity.json").json()
    assert [one["colour"] for one in equity["series"]] == ["policy", "third", "reference"]
    assert client.get(f"{url}charts/other.json").status_code == 404


def test_active_comparison_waits_for_its_result_on_the_page(page, versions):
    comparison = comparisons.request(versions)
    assert "data-waits" in page(f"/comparisons/{comparison}/")
    claim_comparison(comparison)
    assert "A worker computes the comparison." in words(page(f"/comparisons/{comparison}/"))


def test_failed_comparison_says_why_and_can_be_requested_again(page, versions):
    comparison = claim_comparison(comparisons.request(versions))
    work_lifecycle.fail(comparison, f"no bars {MARKUP}")
    html = page(f"/comparisons/{comparison}/")
    assert MARKUP not in html
    assert "The comparison failed: no bars" in words(html)
    assert "/comparisons/new/?version=rl_v3%3A1&amp;version=rl_v3%3A2&amp;again=1" in html


def test_comparison_is_cancelled_after_a_question(signed_in, versions):
    comparison = comparisons.request(versions)
    operator, url = signed_in("operator"), f"/comparisons/{comparison}/"
    assert f"{url}cancel/" in operator.get(url).content.decode()
    assert "The comparison gets no result." in words(operator.get(f"{url}cancel/").content.decode())
    shown = operator.post(f"{url}cancel/", follow=True).content.decode()
    assert "The comparison was cancelled." in words(shown)
    assert "has ended already" in words(operator.post(f"{url}cancel/", follow=True).content.decode())


@pytest.mark.parametrize(
    "result",
    [None, [], {}, {"accounts": 3}, {"accounts": [{"name": "a"}], "timestamps": "x"}, RESULT | {"timestamps": ["x"]}],
)
def test_unreadable_result_is_no_error(page, versions, result):
    page(succeeded(versions, RESULT | {"differences": []} | result if isinstance(result, dict) else result))


def test_comparisons_are_listed_newest_first(page, versions):
    first, second = comparisons.request(versions), comparisons.request(versions[::-1])
    text = words(page("/comparisons/"))
    assert text.index(second.comparison_id) < text.index(first.comparison_id)
    assert "rl_v3 version 2, rl_v3 version 1" in text


@pytest.mark.parametrize("url", ["/comparisons/000000000000/", "/comparisons/x/charts/equity.json"])
def test_unknown_comparison_is_not_found(client, viewer, url):
    client.force_login(viewer)
    assert client.get(url).status_code == 404
