"""Named moments at which a test lets a fault happen. Nothing does unless a test's settings arm one."""

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def arm(name: str, fault: Callable[[], None]) -> None:
    """Call `fault` each time the moment is reached in this process and those forked from it."""
    _armed[name] = fault


def reach(name: str) -> None:
    """The moment `name` is here."""
    if fault := _armed.get(name):
        fault()
