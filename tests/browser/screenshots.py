"""`python -m tests.browser.screenshots [FOLDER]`: a picture of every page, wide and on a phone, light and dark.

The system is a real one in a throw-away folder; the runs of `rl_v3` are trained for the pictures.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.conftest import NO_BROWSER, log_in
from tests.browser.pages import OPTIONS, SCHEMES, WIDTHS, addresses, chromium, drawn
from tests.browser.site import Site, site
from tests.waiting import wait_for

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
SERVICES = ("web", "worker", "beat", "alerts")
TRAINED_RUNS = 4
# Of a longer page, only the top is in the picture.
TALLEST = {"wide": 1050, "phone": 1450}
EPISODES_OF_THE_LAST = 2000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    folder = parser.parse_args().folder
    executable = chromium()
    if executable is None:
        sys.stderr.write(NO_BROWSER.split(":")[0] + "\n")
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="site-", dir="/tmp") as state, site(Path(state), False, SERVICES) as system:
        train(system)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=OPTIONS)
            for width in WIDTHS:
                for scheme in SCHEMES:
                    take(system, browser, folder, width, scheme)
            browser.close()
    return 0


def train(system: Site) -> None:
    """Finished runs of `rl_v3`, a failed one, and one that is under way."""
    for number in range(TRAINED_RUNS):
        system.run("manage.py", "train_policy", "rl_v3", "--wait", "--episodes", str(4 + 2 * number))
    system.run("manage.py", "train_policy", "rl_v3", "--episodes", str(EPISODES_OF_THE_LAST))
    wait_for(lambda: system.runs("rl_v3")[-1]["episodes_done"] > 20, "episodes of the last run", 60)


def take(system: Site, browser: Browser, folder: Path, width: str, scheme: str) -> None:
    """Every page at that width in that scheme."""
    context = browser.new_context(
        base_url=system.address, viewport=WIDTHS[width], color_scheme=scheme, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto("/")
    picture(page, folder / f"login-{width}-{scheme}.png", TALLEST[width])
    log_in(page, "nobody")
    picture(page, folder / f"not-permitted-{width}-{scheme}.png", TALLEST[width])
    page.get_by_role("button", name="Sign out").click()
    log_in(page, "operator")
    run = f"/runs/{system.runs('rl_v3')[-1]['run_id']}/"
    running = {"running": "/policies/rl_v3/", "running-run": run, "cancel-question": f"{run}cancel/"}
    for name, address in (addresses(system) | running).items():
        page.goto(address)
        drawn(page)
        picture(page, folder / f"{name}-{width}-{scheme}.png", TALLEST[width])
    context.close()


def picture(page: Page, path: Path, tallest: int) -> None:
    width, height = page.evaluate("[document.documentElement.clientWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, tallest)}
    page.screenshot(path=path, full_page=True, clip=clip, animations="disabled", caret="hide")


if __name__ == "__main__":
    sys.exit(main())
