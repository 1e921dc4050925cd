"""The names of the exchanges that ccxt knows, without importing it, which takes over a second and 80 MB."""

import difflib
import importlib.util
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version


@cache
def exchange_names() -> frozenset[str]:
    """Return the ids of all exchanges: ccxt has a module of each, and packages of everything else."""
    package = importlib.util.find_spec("ccxt")
    folders = package.submodule_search_locations if package else None
    return frozenset(module.name for module in pkgutil.iter_modules(folders or []) if not module.ispkg)


def unknown_exchange(name: str) -> str:
    """Return that ccxt knows no exchange of this name, in words; nothing if it does."""
    if name in exchange_names():
        return ""
    return f"exchange {name!r} is unknown to ccxt {version('ccxt')}{such_as(name, exchange_names())}"


def such_as(name: str, known: Iterable[str]) -> str:
    """Return a question that names the known names nearest to `name`; nothing if none is near."""
    near = difflib.get_close_matches(name, sorted(known))
    return f"; did you mean {' or '.join(near)}?" if near else ""
