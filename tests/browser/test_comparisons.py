"""Comparing two versions in the browser, with a real worker."""

import re

from playwright.sync_api import expect

from tests.browser.names import LIVE
from tests.browser.pages import wait_until_drawn
from tests.browser.test_live import AT_FIRST, POLICY, SOON, train_now, wait_until_idle

VERSIONS = "SELECT version.number FROM rl_training_policyversion version JOIN rl_training_policystore policy "
VERSIONS += "ON policy.id = version.policy_id WHERE policy.name = ? ORDER BY version.number"


def train_two_versions(open_page, system):
    for _ in range(2):
        wait_until_idle(system)
        if len(system.query(VERSIONS, LIVE)) < 2:
            train_now(open_page(POLICY))
    wait_until_idle(system)


def test_two_versions_are_selected_and_compared(open_page, system):
    train_two_versions(open_page, system)
    page = open_page(f"{POLICY}versions/")
    page.get_by_label("Version 1", exact=True).check()
    page.get_by_label("Version 2", exact=True).check()
    page.get_by_role("button", name="Compare the selected versions").click()
    page.get_by_role("button", name="Compare", exact=True).click()
    # No reload: the page shows the answer once the worker has it.
    sentence = page.locator("#answer .sentence")
    expect(sentence).to_have_text(
        re.compile(r"(earned more than|earned the same).* on these [0-9]+ bars"), timeout=AT_FIRST
    )
    wait_until_drawn(page)
    expect(page.locator("figure.chart canvas")).to_have_count(2, timeout=SOON)
    expect(page.locator("#differences tbody tr")).to_have_count(11)
    url = page.url
    # The same selection shows the stored comparison.
    page.goto(f"{POLICY}versions/")
    for number in (2, 1):
        page.get_by_label(f"Version {number}", exact=True).check()
    page.get_by_role("button", name="Compare the selected versions").click()
    expect(page).to_have_url(url)
