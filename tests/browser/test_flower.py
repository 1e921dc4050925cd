"""Flower's pages in a real browser, under the Content-Security-Policy that they get here."""

from functools import partial

import pytest

from benchmarks.system.running_system import running
from quantum_trader import health
from quantum_trader.processes import COMMANDS, Service
from quantum_trader.state_dir import free_ports
from tests.browser.site import HOST
from tests.waiting import wait_for


@pytest.fixture
def flower(system, prepared):
    """The URL of a Flower of the site, whose login is admin:secret."""
    [port] = free_ports(1)
    own = {"FLOWER_ADDRESS": HOST, "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": "admin:secret"}
    service = Service("flower", COMMANDS["flower"], system.environment | own)
    start = {"start": prepared.start_service} if prepared else {}
    with running(service, system.folder, **start):
        wait_for(partial(health.answers, f"http://{HOST}:{port}/healthcheck"), "Flower to answer", 60)
        yield f"http://{HOST}:{port}"


def test_pages_work_without_a_violation(browser, flower, complaints):
    context = browser.new_context(base_url=flower, http_credentials={"username": "admin", "password": "secret"})
    page = context.new_page()
    complaints.listen(page)
    for path in ("/workers", "/tasks", "/broker"):
        response = page.goto(path)
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
        page.wait_for_load_state("networkidle")
    page.goto("/workers")
    page.locator("#workers-table a, table a").first.click()
    page.get_by_role("heading", name="Worker pool options").wait_for()
    context.close()
