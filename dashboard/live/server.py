"""Functions of live events that uvicorn lacks: an abrupt end of a connection, and a notice of the server's end."""

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any


async def hang_up(send: Any) -> None:
    """Close the connection and discard its unsent bytes; uvicorn itself would wait for a client that does not read."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()
        await asyncio.sleep(0)


def on_termination(loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
    """Call `end` in the loop on SIGTERM and SIGINT: uvicorn waits for open responses without notifying them."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(number)

        def handle(number: int, frame: Any, previous: Any = previous) -> None:
            loop.call_soon_threadsafe(end)
            if callable(previous):
                previous(number, frame)

        if callable(previous):
            signal.signal(number, handle)
