import re
from html.parser import HTMLParser

import pytest

from dashboard.charts.evaluations import shown
from rl_training.models import PolicyStore
from tests.dashboard.pages.page_rows import active_run, version_of
from tests.dashboard.pages.page_text import STRICT, directives, words
from tests.stored import MARKUP, deploy, finished_run, store_raw

pytestmark = pytest.mark.django_db
PERFORMANCE = {"total_return": 0.25, "sharpe": 1.5, "sharpe_interval": [0.5, 2.5], "equity_curve": [1.0, 0.9, 1.25]}
EVALUATION = PERFORMANCE | {
    "bars": 2,
    "timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z", "2018-01-04T00:00:00Z"],
    "buy_and_hold": PERFORMANCE | {"total_return": -0.1, "equity_curve": [1.0, 1.1, 0.9]},
    "flat": {"total_return": 0.0, "sharpe": None, "sharpe_interval": None, "equity_curve": [1.0, 1.0, 1.0]},
}


def test_last_outcome_and_success_rate_are_shown(page, policy):
    finished_run(policy)
    finished_run(policy)
    finished_run(policy, status="failed", error="no file x.csv")
    for url in ("/", "/policies/rl_v3/"):
        html = page(url)
        text = words(html)
        assert "67 %" in text
        assert 'aria-label="2 of the last 3 runs succeeded"' in html
        assert "no file x.csv" in text


def test_cancelled_and_running_runs_are_not_denied(page, policy):
    finished_run(policy, status="cancelled")
    active_run(policy)
    assert "Last run none finished yet Last 50 runs none finished yet Finished runs none yet" in words(
        page("/policies/rl_v3/")
    )
    assert "no run yet" not in words(page("/"))


def test_settings_without_effect_on_the_market_are_left_out(page, policy):
    text = words(page("/policies/rl_v3/"))
    assert "market source sp500 train_fraction 0.8 environment" in text


def test_evaluation_is_compared_with_buy_and_hold_and_flat(page, policy):
    version_of(finished_run(policy), evaluation=EVALUATION)
    html = page("/policies/rl_v3/")
    text = words(html)
    assert "Version 1 on held-out bars" in text
    assert "On 2 held-out bars, 2018-01-02 to 2018-01-04" in text
    assert "Total return 25.00 % -10.00 % 0.00 %" in text
    assert "Sharpe ratio, 95 % interval 0.5 to 2.5 0.5 to 2.5 -" in text
    assert 'href="/policies/rl_v3/versions/1/"' in html


def test_page_starts_with_what_is_live_and_the_newest_result(page, policy):
    run = finished_run(policy, config={"market": {"source": "sp500"}}, avg_reward=0.5)
    version = version_of(run, evaluation=EVALUATION)
    assert "Nothing is live: no version was ever promoted." in words(page("/policies/rl_v3/"))
    found = r"rl_v3 nothing is live newest: version 1 \d+ s ago not tried 25.00 % flat 0.00 %, buy and hold -10.00 %"
    assert re.search(f"{found} . above flat", words(page("/")))
    deploy(version)
    text = words(page("/policies/rl_v3/"))
    newest = "Version 1 returned 25.00 % on 2 held-out bars of sp500: more than staying flat (0.00 %) and more than"
    assert text.index("Version 1 is live since") < text.index(newest) < text.index("Next run")


def test_evaluation_is_that_of_the_live_version(page, policy):
    live = version_of(finished_run(policy), evaluation=EVALUATION)
    version_of(finished_run(policy), 2, evaluation=EVALUATION)
    assert "Version 2 on held-out bars" in words(page("/policies/rl_v3/"))
    deploy(live)
    assert "Version 1 , live, on held-out bars" in words(page("/policies/rl_v3/"))


def test_policy_without_runs_shows_its_settings(page, policy):
    text = words(page("/policies/rl_v3/"))
    assert "There is no version yet" in text
    assert "gamma 0.99" in text
    assert "interval_minutes 60" in text


@pytest.mark.parametrize(
    "evaluation",
    [
        {},
        [],
        "text",
        {"total_return": None},
        {"equity_curve": [1.0]},
        {"equity_curve": [1.0, None]},
        {"equity_curve": [1.0, 1e300], "timestamps": [1, 2]},
        {"sharpe_interval": [1], "buy_and_hold": 3, "bars": "many", "timestamps": "x"},
        {"buy_and_hold": PERFORMANCE},
    ],
)
def test_evaluation_with_other_keys_is_no_error(page, policy, evaluation):
    version_of(finished_run(policy, avg_reward=1e300), evaluation=evaluation)
    page("/policies/rl_v3/")
    page("/policies/rl_v3/versions/")


def test_evaluation_without_curves_has_a_table_and_no_charts():
    found = shown({"total_return": 0.1})
    assert found is not None
    assert found.rows == (("Total return", "10.00 %", "-", "-"),)
    assert found.charts == {}


def test_invalid_stored_config_is_shown_with_its_problem(page, policy):
    store_raw(policy, "ppo", {"gamma": 7})
    assert "Settings are invalid: ppo.gamma: Input should be less than or equal to 1, got 7" in words(page("/"))
    assert "gamma: Input should be less than or equal to 1, got 7" in words(page("/policies/rl_v3/"))


@pytest.mark.parametrize("name", ["other", "rl_v3%00", "%3Cscript%3E", "..%2f"])
def test_unknown_policy_is_not_found(page, client, policy, name):
    assert client.get(f"/policies/{name}/").status_code == 404


def test_repeated_fetch_returns_only_the_sections_that_change(page, client, policy):
    again = client.get("/policies/rl_v3/", headers={"HX-Request": "true"}).content.decode()
    assert 'id="state"' in again
    assert 'id="settings"' not in again


def test_stored_markup_is_shown_as_text(page, policy):
    run = finished_run(policy, status="failed", error=MARKUP)
    store_raw(policy, "market", {"source": MARKUP})
    PolicyStore.objects.update(schedule_error=MARKUP)
    version_of(run, evaluation=EVALUATION | {"timestamps": [MARKUP, MARKUP, MARKUP]})
    for url in ("/", "/policies/rl_v3/", "/policies/rl_v3/versions/", "/policies/rl_v3/runs/"):
        assert MARKUP not in page(url)


class Attributes(HTMLParser):
    """The attributes of all tags of a page, as tuples of tag, name and value."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, *attribute) for attribute in attrs]


def test_pages_have_no_inline_code_and_load_only_local_files(page, client, policy):
    version_of(finished_run(policy), evaluation=EVALUATION)
    for url in ("/", "/policies/rl_v3/", "/policies/rl_v3/versions/", "/policies/rl_v3/runs/"):
        html = page(url)
        assert "<style" not in html
        attributes = Attributes(html).found
        assert not [name for _, name, _ in attributes if name == "style" or name.startswith("on")]
        assert all(value and value[0] in "/#?" for _, name, value in attributes if name in ("href", "src"))
        assert directives(client.get(url)) == STRICT
