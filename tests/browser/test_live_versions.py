"""Users see and change what is live. No test reloads a page to see a change."""

import re

from playwright.sync_api import expect

from tests.browser.names import PROMOTED, ROLLED_BACK

# Milliseconds from the click to the last page that shows what is live.
SOON = 2_000


def test_promotion_is_live_on_every_page_within_two_seconds(open_page):
    watched = {
        "/": f"tr:has-text('{PROMOTED}')",
        f"/policies/{PROMOTED}/": "#live-version",
        f"/policies/{PROMOTED}/versions/2/": "#live-version",
        f"/policies/{PROMOTED}/deployments/": "#now-live",
    }
    pages = {path: open_page(path, "viewer") for path in watched}
    page = open_page(f"/policies/{PROMOTED}/", "admin")
    for one in (*pages.values(), page):
        expect(one.locator("[data-connection]")).to_have_text("Live")
    page.get_by_role("link", name="Promote version 2").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Version 1 is live now. Version 2 decides from then on")
    expect(dialog.get_by_role("link", name="Not now")).to_be_focused()
    dialog.get_by_label("Reason").fill("It earns more.")
    dialog.get_by_role("button", name="Promote").click()
    for path, one in pages.items():
        text = "This version is live" if "versions" in path else re.compile("version 2", re.IGNORECASE)
        expect(one.locator(watched[path]).first).to_contain_text(text, timeout=SOON)
    expect(pages[f"/policies/{PROMOTED}/"].locator("#live-version")).to_contain_text(
        "promoted by admin: It earns more."
    )


def test_rollback_takes_two_clicks(open_page):
    page = open_page(f"/policies/{ROLLED_BACK}/", "admin")
    expect(page.locator("#live-version")).to_contain_text("Version 2 is live")
    page.locator("#live-version").get_by_role("link", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    expect(page.locator("#live-version")).to_contain_text("Version 1 is live")
    expect(page.locator("#live-version")).to_contain_text("brought back by admin: Back from version 2 to version 1.")


def test_live_version_of_yesterday_noon_is_shown(open_page):
    page = open_page(f"/policies/{ROLLED_BACK}/", "viewer")
    # The form suggests yesterday at noon.
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#answer")).to_contain_text("12:00 UTC version 2 was live, since")
    expect(page.locator("#answer")).to_contain_text("promoted by anna: Version 2 earns more.")
