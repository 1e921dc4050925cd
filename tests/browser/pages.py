"""Chromium, the URLs of all pages, and the errors that a browser reports."""

import os
import shutil
from dataclasses import dataclass, field
from typing import Literal

from playwright.sync_api import ConsoleMessage, Page, ViewportSize, expect

from tests.browser.names import DECIDED
from tests.browser.site import Site

# With these options, the browser sends requests to the system under test only.
OPTIONS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    *(["--no-sandbox"] if os.getuid() == 0 else []),
]
WIDTHS: dict[str, ViewportSize] = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


def chromium() -> str | None:
    """Return the path of Debian's Chromium, or None."""
    return shutil.which("chromium")


def page_urls(system: Site, policy: str = "trend_daily") -> dict[str, str]:
    """Return the URL of every page for an operator by its name; pages of a policy are those of `policy`."""
    stored = system.stored
    return {
        "overview": "/",
        "policy": f"/policies/{policy}/",
        "policy-versions": f"/policies/{policy}/versions/",
        "policy-runs": f"/policies/{policy}/runs/",
        "policy-decisions": f"/policies/{policy}/decisions/",
        "settings": f"/policies/{policy}/settings/",
        "train-question": f"/policies/{policy}/train/",
        "disable-question": f"/policies/{policy}/disable/",
        "runs": "/runs/",
        "run": f"/runs/{system.runs(policy)[-1]['run_id']}/",
        "failed-run": f"/runs/{stored['failed']}/",
        "market": f"/market/?policy={policy}",
        "alerts": "/alerts/",
        "acknowledge-question": f"/alerts/{stored['alert']}/acknowledge/",
        "version": f"/policies/{policy}/versions/{stored['version']}/",
        "policy-validation": f"/policies/{policy}/validation/",
        "walk-forward-question": f"/policies/{policy}/walk-forward/",
        "validations": "/validations/",
        "validation": f"/validations/{stored['validation']}/",
        "comparisons": "/comparisons/",
        "comparison": f"/comparisons/{stored['comparison']}/",
        "compare-question": f"/comparisons/new/?version={policy}:2&version={policy}:1",
        "arm-comparisons": "/arm-comparisons/",
        "arm-comparison": f"/arm-comparisons/{stored['arm_comparison']}/",
        "compare-arms-question": f"/policies/{DECIDED}/compare-arms/",
        "not-found": "/policies/nobody/",
        "account": "/accounts/",
        "password": "/accounts/password/",
        "second-factor": "/accounts/second-factor/",
        "api": "/api/docs/",
    }


def wait_until_drawn(page: Page) -> None:
    """Wait until every chart of the page is drawn, or the operations of the API's documentation."""
    if page.locator("#swagger-ui").count():
        page.locator(".opblock").first.wait_for()
    expect(page.locator("figure[data-chart]:not([data-drawn])")).to_have_count(0)


@dataclass
class Complaints:
    """Errors in consoles, with violations of the Content-Security-Policy, and uncaught exceptions."""

    found: list[str] = field(default_factory=list)
    # Parts of the texts of errors that a test causes itself.
    expected: tuple[str, ...] = ()

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._add(f"{page.url}: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._add(f"{message.page.url if message.page else ''}: {message.text} {message.location.get('url', '')}")

    def _add(self, text: str) -> None:
        if not any(expected in text for expected in self.expected):
            self.found.append(text)
