"""The recipe: the settings that decide what a run makes, and the digest that names it. Needs no torch."""

import json
from hashlib import sha256
from typing import Any

from rl_training.core.config import TrainingConfig
from rl_training.core.market_config import MarketConfig


def recipe_digest(config: TrainingConfig, start_from: str, window: int | None = None) -> str:
    """Return the SHA-256 of the recipe: market, environment, PPO, episodes, members, start rule and window.

    The seed has no effect, nor do settings that have no effect with the market's source or kind. Settings with their
    default value are left out, so that a new setting changes no digest.
    """
    settings = config.model_dump(mode="json", exclude_defaults=True, exclude={"market", "seed"})
    found = {**settings, "market": _market(config.market), "start_from": start_from, "window": window}
    return sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def _market(market: MarketConfig) -> dict[str, Any]:
    names = {"source", *market.effective_fields}
    return market.model_dump(mode="json", include=names, exclude_defaults=True)
