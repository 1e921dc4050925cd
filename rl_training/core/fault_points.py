"""Named points in the code at which tests inject faults. Without the settings of such a test, they do nothing."""

from collections.abc import Callable

_armed: dict[str, Callable[[], None]] = {}


def arm(name: str, fault: Callable[[], None]) -> None:
    """Call `fault` whenever this process, or a process forked from it, reaches the fault point `name`."""
    _armed[name] = fault


def reach(name: str) -> None:
    """Run the fault that is armed for the fault point `name`, if any."""
    if fault := _armed.get(name):
        fault()
