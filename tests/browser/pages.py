"""Chromium, the pages that there are, and what a browser may complain of."""

import os
import shutil
from dataclasses import dataclass, field

from playwright.sync_api import ConsoleMessage, Page, expect

from tests.browser.site import Site

# A browser that asks nobody but the system under test for anything.
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
WIDTHS = {"wide": {"width": 1440, "height": 900}, "phone": {"width": 390, "height": 844}}
SCHEMES = ("light", "dark")


def chromium() -> str | None:
    """Where Debian's is; None: nowhere."""
    return shutil.which("chromium")


def addresses(system: Site) -> dict[str, str]:
    """Every page of the dashboard by its name, but for those of who is not signed in or permitted."""
    stored = system.stored
    return {
        "overview": "/",
        "policy": "/policies/trend_daily/",
        "settings": "/policies/trend_daily/settings/",
        "train-question": "/policies/trend_daily/train/",
        "disable-question": "/policies/trend_daily/disable/",
        "runs": "/runs/",
        "run": f"/runs/{system.runs('trend_daily')[-1]['run_id']}/",
        "failed-run": f"/runs/{stored['failed']}/",
        "alerts": "/alerts/",
        "acknowledge-question": f"/alerts/{stored['alert']}/acknowledge/",
        "version": f"/policies/trend_daily/versions/{stored['version']}/",
        "not-found": "/policies/nobody/",
        "api": "/api/docs/",
    }


def drawn(page: Page) -> None:
    """Until each chart of the page is drawn, and of the API's description each operation."""
    if page.locator("#swagger-ui").count():
        page.locator(".opblock").first.wait_for()
    expect(page.locator("figure[data-chart]:not([data-drawn])")).to_have_count(0)


@dataclass
class Complaints:
    """Errors in consoles, violations of the Content-Security-Policy among them, and uncaught exceptions."""

    heard: list[str] = field(default_factory=list)
    # Texts of those that a test brings about itself.
    expected: tuple[str, ...] = ()

    def listen(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._add(f"{page.url}: {error}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._add(f"{message.page.url if message.page else ''}: {message.text} {message.location.get('url', '')}")

    def _add(self, text: str) -> None:
        if not any(expected in text for expected in self.expected):
            self.heard.append(text)
