"""The market files under MARKET_DATA_ROOT: which of them forms offer, and which problem a saved file has."""

from typing import Any

from django.conf import settings

from rl_training.core.config_problems import LONGEST_INPUT, ConfigProblem
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.file_access import check_file, list_files
from rl_training.core.market_config import MarketConfig
from rl_training.models.config_column import as_json

FILES_OFFERED = 200
FILES_IN_MESSAGE = 5


def offered_files() -> list[str]:
    """Return the paths of the market files that a form offers."""
    return list_files(settings.MARKET_DATA_ROOT, FILES_OFFERED)


def file_problems(market: Any, saved: Any = None) -> list[ConfigProblem]:
    """Return the problem of a market that is about to be saved and whose file cannot be opened.

    `saved` is the market that the policy has. A market that names the same file is not checked, so that a policy whose
    file has gone since can be edited.
    """
    if not isinstance(market, MarketConfig) or market.source != "file" or _names_file(saved, market.path):
        return []
    root = settings.MARKET_DATA_ROOT
    try:
        check_file(root, market.path)
    except MarketDataError as error:
        files = list_files(root, FILES_IN_MESSAGE + 1)
        named = ", ".join(files[:FILES_IN_MESSAGE]) + (" ..." if len(files) > FILES_IN_MESSAGE else "")
        there = f"files in {root}: {named}" if files else f"{root} has no market file yet; put the file there"
        return [ConfigProblem("path", f"{error.rule}, got {market.path[:LONGEST_INPUT]}; {there}")]
    return []


def _names_file(market: Any, path: str) -> bool:
    stored = as_json(market)
    return isinstance(stored, dict) and stored.get("source") == "file" and stored.get("path") == path
