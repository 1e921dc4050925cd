"""Every page in a real browser: its accessibility, its charts, stored markup shown as text, and uploads."""

import re
import statistics

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import expect

from dashboard.charts.policies import CHARTS
from tests.browser.names import HOSTILE, LONG, ROLLED_BACK
from tests.browser.pages import WIDTHS, page_urls, wait_until_drawn
from tests.core.market.price_files import HEADER
from tests.waiting import wait_for

AXE = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
    "resultTypes": ["violations"],
    "preload": False,
}
# The other rows of a table look like its first ten.
LOOKED_AT = {"exclude": ["tbody tr:nth-child(n + 11)"]}
QUESTIONS = (
    *("train-question", "disable-question", "acknowledge-question", "walk-forward-question"),
    "compare-arms-question",
)
PAGES = (
    *("overview", "policy", "policy-versions", "policy-runs", "settings", "runs", "run", "failed-run", "alerts"),
    *("version", "comparisons", "comparison", "compare-question", "not-found", "api"),
    *("policy-decisions", "policy-validation", "validation", "validations", "arm-comparisons", "arm-comparison"),
)
LONG_PAGES = {"long-name": f"/policies/{LONG}/", "long-question": f"/policies/{LONG}/disable/"}
LIVE_PAGES = {
    "live-policy": f"/policies/{ROLLED_BACK}/",
    "deployments": f"/policies/{ROLLED_BACK}/deployments/?at=2026-01-01T12:00",
    "roll-back-question": f"/policies/{ROLLED_BACK}/roll-back/",
}

BARS = "".join(f"2020-01-{day:02},10,12,9,{10 + day % 2},5\n" for day in range(1, 29))

# This script keeps the plots that are drawn after it has run.
KEEP_PLOTS = """
() => {
  window.plots = [];
  window.uPlot = new Proxy(uPlot, { construct: (kind, given) => plots[plots.push(new kind(...given)) - 1] });
}
"""


def violations(page, **options):
    found = Axe().run(page, LOOKED_AT, AXE | options).response["violations"]
    return [f"{rule['id']}: {node['target']} {node['failureSummary']}" for rule in found for node in rule["nodes"]]


TRANSITIONS_ENDED = "!document.getAnimations().some(found => found instanceof CSSTransition)"


# Each width and each colour scheme once; `make faults` adds the other two pairs.
@pytest.mark.parametrize(
    "views",
    [
        {"wide": "light", "phone": "dark"},
        pytest.param({"wide": "dark", "phone": "light"}, marks=pytest.mark.long),
    ],
    ids=["light and dark", "dark and light"],
)
@pytest.mark.parametrize("name", [*PAGES, *QUESTIONS, *LONG_PAGES, *LIVE_PAGES, "login", "not-permitted"])
def test_page_has_no_accessibility_violation(open_page, system, complaints, name, views):
    complaints.expected = {"not-found": ("404 (Not Found)",), "not-permitted": ("403 (Forbidden)",)}.get(name, ())
    user = {"login": None, "not-permitted": "nobody"}.get(name, "operator")
    page = open_page((page_urls(system) | LONG_PAGES | LIVE_PAGES).get(name, "/"), user, viewport=WIDTHS["wide"])
    wait_until_drawn(page)
    for width, scheme in views.items():
        page.set_viewport_size(WIDTHS[width])
        page.emulate_media(color_scheme=scheme)
        # A transition between the schemes passes through colours of low contrast.
        # Polled from outside: the page's Content-Security-Policy lets no waiting function be evaluated in it.
        wait_for(lambda: page.evaluate(TRANSITIONS_ENDED), "the transitions to end")
        assert violations(page) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]["width"]


def test_each_config_field_in_the_admin_has_a_label(open_page, system, complaints):
    complaints.expected = ("favicon.ico",)
    [policy] = system.query("SELECT id FROM rl_training_policystore WHERE name = 'trend_daily'")
    page = open_page(f"/admin/rl_training/policystore/{policy['id']}/change/", "admin")
    assert page.get_by_role("spinbutton", name="Learning rate").input_value() == "0.001"
    places = page.get_by_role("spinbutton", name=re.compile("positions"))
    assert [place.get_attribute("aria-label") for place in places.all()] == [
        "positions 1",
        "positions 2",
        "positions 3",
    ]
    page.locator(".rjf-form-group", has=places.first).get_by_role("button", name="Add item").last.click()
    assert page.get_by_role("spinbutton", name="positions 4").count() == 1
    assert violations(page, runOnly=["label", "select-name"]) == []


def test_charts_are_drawn_and_described(open_page):
    page = open_page("/policies/trend_daily/versions/")
    wait_until_drawn(page)
    pictures = page.get_by_role("img").filter(has=page.locator("canvas"))
    assert pictures.count() == 2
    assert "Training and held-out reward of each version" in pictures.first.get_attribute("aria-label")
    assert "Held-out return of each version. 2 versions" in pictures.nth(1).get_attribute("aria-label")
    page.get_by_role("link", name="Runs").last.click()
    wait_until_drawn(page)
    assert pictures.count() == len(CHARTS)
    assert "Training reward of each run. The last 60 finished runs" in pictures.first.get_attribute("aria-label")
    first = page.locator("#charts figure.chart").first
    first.get_by_text("Table").click()
    assert first.locator("details tr").count() == 61


def test_chart_of_a_single_run_spans_two_hours(open_page):
    page = open_page(f"/policies/{LONG}/runs/")
    wait_until_drawn(page)
    page.evaluate(KEEP_PLOTS)
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: page.wait_for_timeout(50) or page.evaluate("plots.length") == 6, "the charts to be drawn anew", 15)
    spans = "plots.filter((plot) => plot.scales.x.time).map(({ scales: { x } }) => Math.round(x.max - x.min))"
    assert page.evaluate(spans) == [7200, 7200, 7200]


def test_page_without_javascript_shows_chart_tables(open_page):
    page = open_page("/policies/trend_daily/runs/", java_script_enabled=False)
    first = page.locator("#charts figure.chart").first
    assert "The last 60 finished runs" in first.inner_text()
    first.get_by_text("Table").click()
    assert first.locator("details tr").count() == 61
    assert not first.locator(".drawing").is_visible()


@pytest.mark.parametrize("index", range(len(HOSTILE)))
def test_stored_markup_is_text_on_every_page(open_page, system, index):
    text = HOSTILE[index]
    run = system.stored["hostile"][index]
    page = open_page("/")
    page.get_by_role("link", name=text, exact=True).first.click()
    visited = [page.url]
    wait_until_drawn(page)
    assert text in page.locator("h1").inner_text()
    for path in ("/", "/runs/", f"/runs/{run}/", visited[0] + "versions/"):
        page.goto(path)
        assert text in page.locator("main").inner_text()
    page.get_by_role("link", name="version 1").first.click()
    wait_until_drawn(page)
    visited.append(page.url)
    assert text in page.locator("h1").inner_text()
    page.goto(visited[0] + "settings/")
    assert text in page.locator("main").inner_text()
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("name", ["overview", "policy-runs", "comparisons", "runs", "alerts"])
def test_row_of_a_list_is_a_short_card_on_a_phone(open_page, system, name):
    page = open_page(page_urls(system)[name], viewport=WIDTHS["phone"])
    rows = page.locator("table.stacks tbody tr")
    boxes = [row.bounding_box() for row in rows.all()]
    # A card has a line for each of its key columns, and more for the longest names and errors.
    assert statistics.median_low(box["height"] for box in boxes) < 205
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_pages_with_a_wide_table_and_a_text_area_fit_a_narrow_phone(open_page):
    page = open_page("/accounts/", "admin", viewport={"width": 360, "height": 740})
    page.get_by_label("Name").fill("research notebook on the second machine")
    page.get_by_role("button", name="Make a token").click()
    for path in ("/accounts/", "/market/"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path
    page.goto("/accounts/")
    assert page.get_by_role("link", name="Revoke research notebook on the second machine").count() == 1


# 1,190 pixels are a little more than the width below which a row of a list is a card.
@pytest.mark.parametrize("width", [768, 1190])
def test_no_page_scrolls_sideways_on_a_tablet(open_page, system, complaints, width):
    complaints.expected = ("404 (Not Found)",)
    page = open_page("/", viewport={"width": width, "height": 900})
    widths = {}
    for name, path in page_urls(system).items():
        page.goto(path)
        wait_until_drawn(page)
        widths[name] = page.evaluate("document.documentElement.scrollWidth")
    assert {name: found for name, found in widths.items() if found > width} == {}


def test_run_of_the_policy_with_the_longest_name_fits_a_phone(open_page):
    page = open_page(f"/policies/{LONG}/train/?next=/", viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="Train now").click()
    page.get_by_role("region", name="Running now").get_by_role("link", name=LONG).wait_for()
    # The policy that is due next may be this one too.
    page.locator(".headline p a").first.evaluate("(link, name) => link.textContent = name", LONG)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def choose(page, name, text):
    page.get_by_label("file", exact=True).last.set_input_files(
        {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
    )
    page.get_by_role("button", name="Upload").click()


def test_file_is_uploaded_checked_and_replaced_after_a_question(open_page, system):
    page = open_page("/market/", "admin")
    choose(page, "My Prices.csv", HEADER + BARS)
    expect(page.get_by_text("my-prices.csv is stored.")).to_be_visible()
    expect(page.get_by_text("Usable, without suspicions.")).to_be_visible()
    assert violations(page) == []
    choose(page, "my-prices.csv", HEADER + BARS.replace(",12,", ",13,"))
    expect(page.get_by_role("heading", name="Replace my-prices.csv?")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Replace it").click()
    expect(page.get_by_role("cell", name="13.0").first).to_be_visible()
    # Other tests of the site let a market grow in another file.
    assert {file.name for file in (system.folder / "market").iterdir()} - {"replayed.csv"} == {"my-prices.csv"}


def test_file_without_prices_is_refused_with_the_reason(open_page, system):
    page = open_page("/market/upload/", "admin")
    choose(page, "notes.csv", "no prices\n")
    expect(page.get_by_text("Nothing was stored: notes.csv: is no table of prices")).to_be_visible()
    assert violations(page) == []
