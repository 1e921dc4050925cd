"""The API's documentation with opened operations, as its reader uses it: tried out, with its schemas and its dialog."""

import pytest

from tests.browser.names import LONG
from tests.browser.pages import WIDTHS, wait_until_drawn
from tests.browser.test_pages import violations
from tests.waiting import wait_for

# A list with filters, and a request with a body. With more operations, axe needs minutes.
OPERATIONS = ("runs_list", "runs_create")


@pytest.mark.parametrize(
    ("width", "scheme"), [("phone", "dark"), pytest.param("wide", "light", marks=pytest.mark.long)]
)
def test_opened_operations_have_no_accessibility_violation(open_page, width, scheme):
    page = open_page("/api/docs/", viewport=WIDTHS[width], color_scheme=scheme)
    page.set_default_timeout(60_000)
    wait_until_drawn(page)
    for name in OPERATIONS:
        operation = page.locator(f"[id$={name}]")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
    page.locator(".responses-table").last.get_by_role("tab", name="Schema").first.click()
    # An answer with many runs would look the same, but axe would check each of its words for a long time.
    page.locator("[id$=runs_list]").get_by_placeholder("policy", exact=True).fill(LONG)
    page.locator("[id$=runs_list]").get_by_role("button", name="Execute").click()
    page.locator(".live-responses-table").wait_for()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]["width"]
    page.get_by_role("button", name="Authorize").click()
    page.locator("button.close-modal").wait_for()
    assert violations(page, runOnly=["button-name", "label"]) == []


def test_opened_operations_fit_the_narrowest_phone(open_page):
    page = open_page("/api/docs/", viewport={"width": 320, "height": 700})
    page.set_default_timeout(60_000)
    wait_until_drawn(page)
    # Long words in a description, a long name of a parameter, and two buttons: with these, the page was wider.
    for name in ("alerts_list", "arm_comparisons_retrieve", "policies_create"):
        operation = page.locator(f"[id$={name}]")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Reset").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_page_follows_a_change_of_the_colour_scheme(open_page):
    page = open_page("/api/docs/", color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    wait_for(lambda: page.evaluate(background) == "rgb(28, 32, 34)", "the dark scheme")
