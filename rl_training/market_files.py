"""The market files under MARKET_DATA_ROOT: the files and columns that forms offer, and why a path cannot be opened."""

from typing import Any

from django.conf import settings

from rl_training.core.config_problems import LONGEST_INPUT
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.file_access import check_file, list_files
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_values import OWN

FILES_OFFERED = 200
FILES_IN_MESSAGE = 5


def offered_files() -> list[str]:
    """Return the paths of the market files that a form offers."""
    return list_files(settings.MARKET_DATA_ROOT, FILES_OFFERED)


def offered_columns(market: Any) -> list[str]:
    """Return the names of features that are columns of the market's file, as its first rows show them."""
    if not isinstance(market, MarketConfig) or market.source != "file":
        return []
    # pyarrow takes 40 MB, so only a process that reads a file imports it.
    from rl_training.core.market.files.price_file import find_further

    try:
        return [OWN + column.name for column in find_further(market, settings.MARKET_DATA_ROOT) if not column.problem]
    except MarketDataError:
        return []


def opening_problem(path: str) -> str:
    """Return why the market file cannot be opened, and which files exist; empty if the file can be opened."""
    root = settings.MARKET_DATA_ROOT
    try:
        check_file(root, path)
    except MarketDataError as error:
        files = list_files(root, FILES_IN_MESSAGE + 1)
        named = ", ".join(files[:FILES_IN_MESSAGE]) + (" ..." if len(files) > FILES_IN_MESSAGE else "")
        if files:
            there = f"files in {root}: {named}"
        elif root.is_dir():
            there = f"{root} has no market file yet; put the file there"
        else:
            there = f"there is no folder {root}; make it, or correct MARKET_DATA_ROOT"
        return f"{error.rule}, got {path[:LONGEST_INPUT]}; {there}"
    return ""
