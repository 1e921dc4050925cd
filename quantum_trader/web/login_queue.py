"""A bounded pool of threads for requests that hash passwords, so that guesses delay neither pages nor other logins."""

import asyncio
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import IO, TypeVar
from urllib.parse import parse_qs

from quantum_trader.web.networks import network_of

T = TypeVar("T")

# After this time, the failure counts of networks and users are halved.
PERIOD_SECONDS = 60.0
# The user's name is within this many first bytes of a login form.
LOGIN_FORM_BYTES = 4096


Rank = tuple[int, int]


class QueueFullError(Exception):
    """The queue is full, and this request has the last place."""


class LoginQueue:
    """Runs functions in an executor, first the requests of networks with few failed or unfinished requests.

    Among networks with equal counts, requests for users with few failures come first. So a login waits neither for a
    network that guesses again and again, nor for many networks that guess at one user. All methods run in one event
    loop.
    """

    def __init__(self, executor: Executor, at_once: int, most_waiting: int) -> None:
        self._executor = executor
        self._free = at_once
        self._most_waiting = most_waiting
        self._waiting: list[tuple[Rank, int, asyncio.Future[None]]] = []
        self._number = itertools.count()
        self._failures: Counter[str] = Counter()
        self._period_ends = 0.0

    async def run(self, address: str, user: str, function: Callable[..., T], *arguments: object) -> T:
        """Return what the function returns. Raises `QueueFullError`. The request counts as failed until `succeeded`."""
        await self._wait_for_thread(self._rank(network_of(address), user))
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        finally:
            self._free += 1
            self._wake_next()

    def succeeded(self, address: str, user: str) -> None:
        """Count the request no longer as failed."""
        self._failures.subtract((network_of(address), _key(user)))
        self._failures = +self._failures

    def _rank(self, network: str, user: str) -> Rank:
        """Count the request as failed, and return how many its network and its user have."""
        now = time.monotonic()
        if now >= self._period_ends:
            self._failures = +Counter({other: number // 2 for other, number in self._failures.items()})
            self._period_ends = now + PERIOD_SECONDS
        self._failures.update((network, _key(user)))
        return self._failures[network], self._failures[_key(user)]

    async def _wait_for_thread(self, rank: Rank) -> None:
        """Wait until a thread is free for this request. Raises `QueueFullError`."""
        if self._free:
            self._free -= 1
            return
        place = (rank, next(self._number), asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, place)
        if len(self._waiting) > self._most_waiting:
            last = max(self._waiting)
            self._waiting.remove(last)
            heapq.heapify(self._waiting)
            last[2].set_exception(QueueFullError())
        await place[2]

    def _wake_next(self) -> None:
        if self._free and self._waiting:
            self._free -= 1
            heapq.heappop(self._waiting)[2].set_result(None)


def _key(user: str) -> str:
    """Return the key under which the failures of a user are counted; the name itself may look like a network."""
    return f"as {user}"


def user_of(form: IO[bytes]) -> str:
    """Return the user's name in the first bytes of a login form; empty if there is none."""
    first = form.read(LOGIN_FORM_BYTES).decode("latin-1")
    form.seek(0)
    # Of several names, Django uses the last one too.
    return parse_qs(first).get("username", [""])[-1].casefold()
