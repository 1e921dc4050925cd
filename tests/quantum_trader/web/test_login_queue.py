"""The pool of threads for logins: its order and its bounds."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from quantum_trader.web.login_queue import LoginQueue, QueueFullError


def order_of(addresses: list[str], most_waiting: int = 100) -> tuple[list[int], list[int]]:
    """Send a request from each address at once; return the numbers of those that ran, in order, and of the refused."""
    ran: list[int] = []

    async def all_at_once() -> list[int]:
        queue = LoginQueue(pool, 1, most_waiting)
        requests = (queue.run(address, ran.append, number) for number, address in enumerate(addresses))
        answers = await asyncio.gather(*requests, return_exceptions=True)
        return [number for number, answer in enumerate(answers) if isinstance(answer, QueueFullError)]

    with ThreadPoolExecutor(1) as pool:
        refused = asyncio.run(all_at_once())
    return ran, refused


def test_address_with_few_requests_does_not_wait_for_one_with_many():
    assert order_of(["a", "a", "a", "a", "b", "c", "b"]) == ([0, 4, 5, 1, 6, 2, 3], [])


def test_full_queue_refuses_the_address_with_most_requests():
    assert order_of(["a", "a", "a", "a", "b"], most_waiting=2) == ([0, 4, 1], [2, 3])


def test_error_of_a_function_frees_its_thread():
    async def fail_then_run() -> int:
        queue = LoginQueue(pool, 1, 1)
        with pytest.raises(ZeroDivisionError):
            await queue.run("a", lambda: 1 // 0)
        return await queue.run("a", lambda: 7)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(fail_then_run()) == 7
