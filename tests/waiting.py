import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """Return the condition's value once it is true; raise TimeoutError, which names `what`, after `seconds`."""
    started = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - started
        if waited > seconds:
            raise TimeoutError(f"waited {seconds} s for {what}")
        # The longer the wait, the longer the pause: polling takes processor time from the processes under test.
        time.sleep(min(0.02 + waited / 50, 0.2))
    return value
