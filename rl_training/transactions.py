"""Work that must wait for the end of a transaction."""

from collections.abc import Callable

from django.db import transaction


def after_commit(do: Callable[[], object]) -> None:
    """Call `do` once the current transaction is committed, or at once outside of a transaction.

    An error in `do` is logged and not raised, because the change itself is stored. `do` must be a function with a name,
    not a `functools.partial`, because Django names the function in that log line.
    """
    transaction.on_commit(do, robust=True)
