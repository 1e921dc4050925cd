"""Attacks that guess passwords and tokens. Importing this module requires django.setup()."""

import base64
import itertools
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from django.contrib.auth.models import User

from benchmarks.abuse.clients import LOGIN, Browser
from benchmarks.abuse.rows import Row
from benchmarks.results.figures import Figure
from benchmarks.system.console import Console
from benchmarks.system.running_system import LOCAL, RunningSystem, running
from benchmarks.system.stored_rows import api_token
from benchmarks.system.summary_requests import SUMMARY
from quantum_trader import health
from quantum_trader.processes import COMMANDS, Service
from quantum_trader.state_dir import free_ports
from tests.waiting import wait_for

GUESSES, ADDRESSES, USERS = 1_000, 20, 50
WRONG_PASSWORDS, PARALLEL, WRONG_TOKENS, WRONG_SECRETS, TIMED = 30, 40, 600, 300, 8
SECRET = "the right secret of a benchmark"
# The event of a login whose password was checked; a login that is refused unchecked has another event.
CHECKED = "Login failed"
PAUSE_SECONDS = 0.05

_hosts = itertools.count(1)


def rows(system: RunningSystem) -> Iterator[Row]:
    """Yield the rows of this part."""
    names = ("one", "other", "quick", *(f"user{number}" for number in range(USERS)))
    for name in (*names, *(f"known{number}" for number in range(TIMED)), *(f"busy{n}" for n in range(PARALLEL))):
        User.objects.create_user(name, password=SECRET)
    os.environ["METRICS_TOKEN"] = SECRET
    with system.start("web") as services:
        console = services["web"].console
        yield from many_guesses(system.web_port, console)
        yield from parallel_logins(system.web_port)
        yield same_time(system.web_port)
        yield wrong_passwords(system.web_port, console)
        tokens = [{"Authorization": f"Token {number:040x}"} for number in range(WRONG_TOKENS)]
        yield unlimited("API tokens", tokens, system.web_port, SUMMARY)
        secrets = [{"Authorization": f"Bearer {number}"} for number in range(WRONG_SECRETS)]
        yield unlimited("metrics tokens", secrets, system.web_port, "/metrics")
    yield flower_logins(system)


def new_address() -> str:
    """Return an address that no client has used so far."""
    number = next(_hosts)
    return f"127.1.{number // 250}.{1 + number % 250}"


def many_guesses(port: int, console: Console) -> Iterator[Row]:
    """Guess from many addresses at many users, while another user logs in and a program reads the summary."""
    browsers = [Browser(port, new_address()) for _ in range(ADDRESSES)]
    authorization = {"Authorization": f"Token {api_token()}"}
    reader = Browser(port, new_address())
    console.entries()

    def attack(address: int) -> None:
        for guess in range(address, GUESSES, ADDRESSES):
            browsers[address].log_in(f"user{guess // ADDRESSES}", "wrong")

    with ThreadPoolExecutor(ADDRESSES + 2) as pool:
        attacks = [pool.submit(attack, address) for address in range(ADDRESSES)]
        logins = pool.submit(repeat, attacks, lambda: Browser(port, new_address()).log_in("other", SECRET), 302)
        summaries = pool.submit(repeat, attacks, lambda: reader.request("GET", SUMMARY, authorization), 200)
        for each in attacks:
            each.result()
    what = f"{GUESSES} guesses from {ADDRESSES} addresses at {USERS} users"
    checked = Counter(line["user"] for line in console.entries() if line["event"] == CHECKED)
    yield Row("20", Figure(f"{what}: most that are checked of one user", max(checked.values()), "", at_most=10))
    longest = max(logins.result())
    yield Row("5.9 s", Figure(f"{what}: another user's login from a new address, longest", longest, "s", at_most=0.5))
    p95 = 1000 * statistics.quantiles(summaries.result(), n=20)[18]
    yield Row("not measured", Figure(f"{what}: summary, 95th percentile", p95, "ms", at_most=100))


def repeat(attacks: Sequence["Future[None]"], request: Callable[[], tuple[int, float]], wanted: int) -> list[float]:
    """Repeat a request until the attacks have ended, and return the seconds of each. Raises for another status."""
    taken = []
    while not all(attack.done() for attack in attacks):
        status, seconds = request()
        if status != wanted:
            raise RuntimeError(f"answered {status}, not {wanted}")
        taken.append(seconds)
        time.sleep(PAUSE_SECONDS)
    return taken


def parallel_logins(port: int) -> Iterator[Row]:
    """Send wrong logins at once, each from its own address for its own user, and open the login page meanwhile."""
    browsers = [Browser(port, new_address()) for _ in range(PARALLEL)]
    for browser in browsers:
        browser.request("GET", LOGIN)
    visitor = Browser(port, new_address())
    with ThreadPoolExecutor(PARALLEL) as pool:
        sent = [pool.submit(browser.log_in, f"busy{number}", "wrong") for number, browser in enumerate(browsers)]
        pages = repeat([pool.submit(last, sent)], lambda: visitor.request("GET", LOGIN), 200)
    yield Row("5.9 s", Figure(f"{PARALLEL} parallel wrong logins: login page, longest", max(pages), "s", at_most=0.5))


def last(sent: Sequence["Future[Any]"]) -> None:
    for each in sent:
        each.result()


def same_time(port: int) -> Row:
    """Compare the times of answers to wrong passwords for known and for unknown users."""
    medians = [
        statistics.median(Browser(port, new_address()).log_in(f"{name}{n}", "wrong")[1] for n in range(TIMED))
        for name in ("known", "unknown")
    ]
    difference = 1000 * abs(medians[0] - medians[1])
    return Row(
        "not measured", Figure("wrong password of a known and an unknown user", difference, "ms apart", at_most=25)
    )


def wrong_passwords(port: int, console: Console) -> Row:
    """Guess the password of one user from one address."""
    console.entries()
    browser = Browser(port, new_address())
    for _ in range(WRONG_PASSWORDS):
        browser.log_in("one", "wrong")
    checked = sum(line["event"] == CHECKED for line in console.entries())
    return Row(str(WRONG_PASSWORDS), Figure(f"{WRONG_PASSWORDS} wrong passwords: checked", checked, "", at_most=10))


def unlimited(what: str, guesses: Sequence[dict[str, str]], port: int, path: str) -> Row:
    """Send wrong secrets from one address, and count those that are not refused."""
    browser = Browser(port, new_address())
    checked = sum(browser.request("GET", path, headers)[0] != 429 for headers in guesses)
    number = len(guesses)
    return Row(str(number), Figure(f"{number} wrong {what} from one address: not refused", checked, "", at_most=20))


def flower_logins(system: RunningSystem) -> Row:
    """Guess Flower's password."""
    [port] = free_ports(1)
    environment = {"FLOWER_ADDRESS": LOCAL, "FLOWER_PORT": str(port), "FLOWER_BASIC_AUTH": f"admin:{SECRET}"}
    wrong = [base64.b64encode(f"admin:{number}".encode()).decode() for number in range(WRONG_SECRETS)]
    with running(Service("flower", COMMANDS["flower"], environment), system.folder):
        wait_for(partial(health.answers, f"http://{LOCAL}:{port}/healthcheck"), "Flower to answer", 60)
        return unlimited("Flower logins", [{"Authorization": f"Basic {login}"} for login in wrong], port, "/workers")
