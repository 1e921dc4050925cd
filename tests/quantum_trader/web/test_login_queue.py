"""The pool of threads for logins: its order and its bounds."""

import asyncio
import io
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from quantum_trader.web.login_queue import LoginQueue, QueueFullError, user_of

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


def order_of(addresses: list[str], most_waiting: int = 100) -> tuple[list[int], list[int]]:
    """Send a request from each address at once; return the numbers of those that ran, in order, and of the refused."""
    ran: list[int] = []

    async def all_at_once() -> list[int]:
        queue = LoginQueue(pool, 1, most_waiting)
        requests = (queue.run(address, str(number), ran.append, number) for number, address in enumerate(addresses))
        answers = await asyncio.gather(*requests, return_exceptions=True)
        return [number for number, answer in enumerate(answers) if isinstance(answer, QueueFullError)]

    with ThreadPoolExecutor(1) as pool:
        refused = asyncio.run(all_at_once())
    return ran, refused


def test_address_with_few_requests_does_not_wait_for_one_with_many():
    assert order_of([A, A, A, A, B, C, B]) == ([0, 4, 5, 1, 6, 2, 3], [])


def test_network_of_ipv6_counts_as_one():
    assert order_of(["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]) == ([0, 3, 1, 2], [])


def test_login_after_failures_waits_for_addresses_without():
    async def both() -> list[str]:
        queue = LoginQueue(pool, 1, 100)
        ran: list[str] = []
        for _ in range(3):
            await queue.run(A, "", ran.append, "wrong")
        for _ in range(3):
            await queue.run(B, "", ran.append, "right")
            queue.succeeded(B, "")
        under_way = queue.run(C, "", time.sleep, 0.01)
        await asyncio.gather(under_way, queue.run(A, "", ran.append, "last"), queue.run(B, "", ran.append, "first"))
        return ran[-2:]

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(both()) == ["first", "last"]


def test_login_does_not_wait_for_many_networks_that_guess_at_one_user():
    async def all_at_once() -> None:
        queue = LoginQueue(pool, 1, 100)
        guesses = [queue.run(f"10.0.1.{number}", "ann", ran.append, "ann") for number in range(4)]
        await asyncio.gather(*guesses, queue.run(A, "bob", ran.append, "bob"))

    ran: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        asyncio.run(all_at_once())
    assert ran.index("bob") <= 2


def test_full_queue_refuses_the_address_with_most_requests():
    assert order_of([A, A, A, A, B], most_waiting=2) == ([0, 4, 1], [2, 3])


@pytest.mark.parametrize(
    ("form", "user"),
    [
        (b"csrf=1&username=Ann%20B&password=x", "ann b"),
        (b"username=other&password=x&username=ann", "ann"),
        (b"password=x", ""),
        (b"\xff\x00&&=;%zz", ""),
        (b"x=" + b"x" * 5000 + b"&username=ann", ""),
    ],
)
def test_user_is_read_from_the_beginning_of_a_form(form, user):
    file = io.BytesIO(form)
    assert user_of(file) == user
    assert file.read() == form


def test_error_of_a_function_frees_its_thread():
    async def fail_then_run() -> int:
        queue = LoginQueue(pool, 1, 1)
        with pytest.raises(ZeroDivisionError):
            await queue.run(A, "", lambda: 1 // 0)
        return await queue.run(A, "", lambda: 7)

    with ThreadPoolExecutor(1) as pool:
        assert asyncio.run(fail_then_run()) == 7
