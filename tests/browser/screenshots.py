"""`python -m tests.browser.screenshots [--docs]`: screenshots of every page, wide and on a phone, light and dark.

The system behind the pages is a real one in a temporary folder: a worker trained every run that the pages show. All
screenshots are written to var/screenshots; `--docs` replaces those in docs/screenshots too, which are in git.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import NO_BROWSER, log_in
from tests.browser.names import DECIDED
from tests.browser.pages import OPTIONS, SCHEMES, WIDTHS, chromium, page_urls, wait_until_drawn
from tests.browser.site import Site, site
from tests.browser.training import FINISHED, RUNNING, growing_market, train

ROOT = Path(__file__).parents[2]
FOLDER, DOCS = ROOT / "var" / "screenshots", ROOT / "docs" / "screenshots"
DOCUMENTED = (
    "overview-wide-light",
    "overview-wide-dark",
    "overview-phone-light",
    "policy-wide-light",
    "run-wide-light",
    "running-run-wide-light",
    "version-wide-light",
    "policy-validation-wide-light",
    "decisions-wide-light",
    "alerts-wide-light",
)
# The height of a screenshot by its width, in pixels. The screenshot of a longer page shows the top.
TALLEST = {"wide": 1050, "phone": 1450}
CONTENT_SIZE = """
() => [document.documentElement.clientWidth, document.querySelector("main").getBoundingClientRect().bottom + scrollY]
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--docs", action="store_true", help="replace the screenshots in docs/screenshots too")
    options = parser.parse_args()
    executable = chromium()
    if executable is None:
        sys.stderr.write(NO_BROWSER.split(":")[0] + "\n")
        return 1
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    services = ("web", "worker", "alerts", "decide")
    temporary = tempfile.TemporaryDirectory(prefix="site-", dir="/tmp")
    with temporary as state, site(Path(state), "untrained", services) as system, growing_market(system):
        train(system)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=OPTIONS)
            for scheme in SCHEMES:
                for width in WIDTHS:
                    take_all(system, browser, width, scheme)
            browser.close()
    if options.docs:
        for name in DOCUMENTED:
            shutil.copy(FOLDER / f"{name}.png", DOCS)
    return 0


def take_all(system: Site, browser: Browser, width: str, scheme: Literal["light", "dark"]) -> None:
    """Take screenshots of every page at the width and in the scheme."""
    context = browser.new_context(
        base_url=system.url, viewport=WIDTHS[width], color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    page = context.new_page()

    def take(name: str) -> None:
        screenshot(page, FOLDER / f"{name}-{width}-{scheme}.png", TALLEST[width])

    page.goto("/")
    take("login")
    log_in(page, "nobody")
    take("not-permitted")
    page.get_by_role("button", name="Sign out").click()
    log_in(page, "operator")
    run = f"/runs/{system.runs(RUNNING)[-1]['run_id']}/"
    running = {"running": f"/policies/{RUNNING}/", "running-run": run, "cancel-question": f"{run}cancel/"}
    running["decisions"] = f"/policies/{DECIDED}/decisions/"
    for name, url in (running | page_urls(system, FINISHED)).items():
        page.goto(url)
        wait_until_drawn(page)
        take(name)
    context.close()


def screenshot(page: Page, path: Path, tallest: int) -> None:
    width, height = page.evaluate(CONTENT_SIZE)
    page.screenshot(
        path=path,
        full_page=True,
        clip={"x": 0, "y": 0, "width": width, "height": min(height, tallest)},
        animations="disabled",
        caret="hide",
    )


if __name__ == "__main__":
    sys.exit(main())
