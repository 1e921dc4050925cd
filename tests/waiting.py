import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_for(condition: Callable[[], T], what: str, seconds: float = 30) -> T:
    """The condition's value, once it is true; an error that says what was waited for after `seconds`."""
    started = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - started
        if waited > seconds:
            raise TimeoutError(f"waited {seconds} s for {what}")
        # Between two looks at the condition: a long wait is not to cost what others compute with.
        time.sleep(min(0.02 + waited / 50, 0.2))
    return value
