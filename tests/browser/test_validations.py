"""Recipes are walked forward by a real worker, and the gate decides about their versions. No test reloads a page."""

import re

from playwright.sync_api import expect

from tests.browser.names import NOISY, PLANTED
from tests.browser.pages import wait_until_drawn
from tests.browser.test_live import AT_FIRST, SOON, is_marked, mark, train_now

# So many that training them takes several refreshes of a page.
FOLDS = 12


def walk_forward(page, policy):
    page.goto(f"/policies/{policy}/validation/")
    page.get_by_role("link", name="Walk it forward").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This is trial 1 on synthetic:")
    expect(dialog).to_contain_text("The trial may spend 0.03 of the 0.05 that is left of 0.05")
    expect(dialog.get_by_role("link", name="Not now")).to_be_focused()
    dialog.get_by_label("Folds").fill(str(FOLDS))
    dialog.get_by_role("button", name="Walk it forward").click()
    expect(page.get_by_role("status").first).to_contain_text("is queued. It is trial 1 on synthetic:")


def test_new_version_of_a_validated_recipe_goes_live_by_itself(open_page, system):
    overview, now = open_page("/", "viewer"), open_page(f"/policies/{PLANTED}/", "viewer")
    mark(overview)
    mark(now)
    page = open_page("/")
    walk_forward(page, PLANTED)
    expect(overview.locator("#now")).to_contain_text(f"of {FOLDS} folds trained", timeout=SOON)
    expect(page.locator("#folds tbody tr")).to_have_count(FOLDS, timeout=AT_FIRST)
    expect(page.locator("#folds tbody tr").first).to_contain_text("trained", timeout=AT_FIRST)
    # The verdict appears once the worker has judged all folds, and the curves with it.
    expect(page.locator("#recipe .sentence")).to_have_text(
        re.compile(r"Validated: over 600 bars it beat flat \(p = .+\) and buy and hold \(p = .+\), each below 0.03"),
        timeout=AT_FIRST,
    )
    wait_until_drawn(page)
    expect(page.locator("figure.chart canvas")).to_have_count(1, timeout=SOON)
    expect(page.locator("#tests tbody tr").first).to_contain_text("required")
    expect(page.locator("#budget")).to_contain_text("Trials so far1 of 1 recipe")
    expect(overview.locator(f"tr:has-text('{PLANTED}')")).to_contain_text("validated", timeout=SOON)
    expect(now.locator("#live-version")).to_contain_text("Each new version goes live by itself", timeout=SOON)
    page.goto(f"/policies/{PLANTED}/")
    train_now(page)
    for one in (page, now):
        expect(one.locator("#live-version")).to_contain_text(
            re.compile(
                r"Version 1 is live since .+, promoted by the gate: validation [0-9a-f]{12} validated the recipe"
            ),
            timeout=SOON,
        )
    expect(overview.locator(f"tr:has-text('{PLANTED}')")).to_contain_text("version 1", timeout=SOON)
    assert is_marked(overview)
    assert is_marked(now)


def test_version_of_a_recipe_that_is_not_validated_is_held_back(open_page, system):
    page = open_page("/")
    walk_forward(page, NOISY)
    found = re.compile(r"^(Inconclusive|Refused): over 600 bars ")
    expect(page.locator("#recipe .sentence")).to_have_text(found, timeout=AT_FIRST)
    expect(page.locator("#recipe")).to_contain_text("New versions are held back")
    page.goto(f"/policies/{NOISY}/")
    train_now(page)
    live = page.locator("#live-version")
    expect(live).to_contain_text(
        re.compile(r"Version 1 is held back: its recipe is (inconclusive|refused), by validation [0-9a-f]{12}\."),
        timeout=SOON,
    )
    expect(live).to_contain_text("Nothing is live: no version was ever promoted.")
    overview = open_page("/", "viewer")
    expect(overview.locator(f"tr:has-text('{NOISY}')")).to_contain_text("version 1 held back: its recipe is")
    admin = open_page(f"/policies/{NOISY}/", "admin")
    admin.get_by_role("link", name="Promote version 1 all the same").click()
    expect(admin.get_by_role("dialog")).to_contain_text("Version 1 decides from then on, until the gate promotes a new")


def test_walk_forward_is_cancelled_and_counts(open_page, system):
    page = open_page("/policies/promoted/validation/")
    page.get_by_role("link", name="Walk it forward").click()
    page.get_by_role("dialog").get_by_role("button", name="Walk it forward").click()
    page.locator("#recipe").get_by_role("link", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("The validation gets no result but counts: trial ")
    dialog.get_by_role("button", name="Cancel the validation").click()
    expect(page.locator("#validations")).to_contain_text("cancelled")


def test_viewer_starts_no_walk_forward(open_page):
    page = open_page("/policies/trend_daily/validation/", "viewer")
    assert page.get_by_role("link", name=re.compile("Walk it forward|Cancel")).count() == 0
    expect(page.locator("#recipe")).to_contain_text("An operator can walk the recipe forward.")
