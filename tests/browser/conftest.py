from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.names import PASSWORD
from tests.browser.pages import OPTIONS, Complaints, chromium
from tests.browser.site import Site, site
from tests.prepared import PreparedPython

NO_BROWSER = "Chromium is missing: no test in a browser was run (Debian: apt-get install chromium)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without_browser = chromium() is None
    for item in items:
        if "tests/browser/" in item.path.as_posix():
            item.add_marker("system")
            if without_browser:
                item.add_marker(pytest.mark.skip(reason=NO_BROWSER))


# Package-scoped, because an open Playwright keeps an event loop running, and Django's database layer, which other tests
# of the session use, refuses to work beside it.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory, prepared: PreparedPython | None) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site"), prepared=prepared) as found:
        yield found


@pytest.fixture(scope="package")
def sessions(browser: Browser, system: Site) -> Callable[[str], Any]:
    """Return the cookies of a user; each user logs in once."""
    known: dict[str, Any] = {}

    def session(user: str) -> Any:
        if user not in known:
            context = browser.new_context(base_url=system.url)
            page = context.new_page()
            log_in(page, user)
            known[user] = context.storage_state()
            context.close()
        return known[user]

    return session


def log_in(page: Page, user: str) -> None:
    page.goto("/")
    page.get_by_label("Username").fill(user)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", level=1).wait_for()


@pytest.fixture
def complaints() -> Iterator[Complaints]:
    """The errors in the browsers' consoles; a test with unexpected errors fails."""
    complaints = Complaints()
    yield complaints
    assert complaints.found == []


@pytest.fixture
def open_page(
    browser: Browser, system: Site, sessions: Callable[[str], Any], complaints: Complaints
) -> Iterator[Callable[..., Page]]:
    """Return a page opened as a user, None for an anonymous one, in a browser context of its own."""
    contexts = []

    def opened(path: str, user: str | None = "operator", **options: Any) -> Page:
        state = sessions(user) if user else None
        context = browser.new_context(base_url=system.url, storage_state=state, **options)
        contexts.append(context)
        context.set_default_timeout(15_000)
        page = context.new_page()
        complaints.listen(page)
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
