"""The tab Decisions follows the bars of a market as they come."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from quantum_trader.processes import BASE_DIR, COMMANDS
from tests.browser.site import Site
from tests.browser.test_live import is_marked, mark

POLICY = "decided"
# A bar a second, of which each decision is valid for a minute.
REPLAY = ("manage.py", "market_replay", "planted", "--speed", "3600", "--history", "200")
SET_UP = f"""
import django; django.setup()
from rl_training.models import PolicyStore
from tests.decisions.growing import set_up
from tests.stored import deploy
from tests.weights import stored_version

policy = PolicyStore.objects.create(name="{POLICY}", enabled=False)
set_up(policy, "replayed.csv")
deploy(stored_version(policy, 1))
"""
SOON = 60_000


@pytest.fixture
def deciding(system: Site) -> Iterator[None]:
    """A policy with a live version, its market that grows, and the process `decide`."""
    environment = os.environ | system.environment | {"MAX_BAR_AGE": "60"}
    with contextlib.ExitStack() as stack, (system.folder / "deciding").open("w") as console:
        for command in ([sys.executable, *REPLAY], [sys.executable, "-m", *COMMANDS["decide"]]):
            process = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=console, stderr=console)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        system.run("-c", SET_UP)
        yield


def test_page_follows_decisions_while_bars_arrive(open_page, deciding):
    page = open_page(f"/policies/{POLICY}/decisions/", "viewer")
    sentence = page.locator("#decision .sentence")
    expect(sentence).to_have_text(
        re.compile(rf"{POLICY} is (long|short|flat)[ 0-9.]*: version 1 chose target"), timeout=SOON
    )
    mark(page)
    newest = page.locator("#decisions tbody tr").first
    seen = newest.get_attribute("id")
    expect(newest).not_to_have_id(str(seen), timeout=SOON)
    expect(page.locator("#reasons")).to_contain_text("unrealised_log_return")
    expect(page.locator("#accounts tbody tr")).to_have_count(3)
    assert is_marked(page)
    overview = open_page("/", "viewer")
    row = overview.locator(f"tr:has-text('{POLICY}')")
    expect(row).to_contain_text(re.compile(r"(long|short|flat)[ 0-9.]* -?\d+\.\d\d % today"))
