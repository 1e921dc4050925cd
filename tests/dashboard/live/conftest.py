from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.browser.names import PASSWORD
from tests.browser.site import Site
from tests.prepared import PreparedPython
from tests.sse import Listener, log_in


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, prepared: PreparedPython | None) -> Iterator[Site]:
    """A web process with a Redis and a database of its own."""
    found = Site(tmp_path_factory.mktemp("live"), prepared)
    try:
        found.prepare()
        found.start("web")
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def session(site: Site) -> str:
    """The session of a viewer."""
    return log_in(site.port, "viewer", PASSWORD)


@pytest.fixture
def listen(site: Site, session: str) -> Iterator[Callable[..., Listener]]:
    """Return a listener as the viewer; the test may open several."""
    opened: list[Listener] = []

    def listener(query: str = "", **options: Any) -> Listener:
        opened.append(Listener(site.port, session, query, **options))
        assert opened[-1].status == 200
        return opened[-1]

    yield listener
    for one in opened:
        one.close()
