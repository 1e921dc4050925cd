"""Which markets are followed: those that grow, of policies in which something is or was live."""

import hashlib
import json
from typing import Any

from rl_training.core.market_config import SOURCE_FIELDS, MarketConfig
from rl_training.models import FollowedMarket, PolicyStore

# The sources whose markets can grow.
GROWING = {"exchange", "file"}


def grows(market: Any) -> bool:
    """Return whether a policy's market can grow; a market that is stored invalid cannot."""
    return isinstance(market, MarketConfig) and market.source in GROWING


def identity(market: MarketConfig) -> str:
    """Return the digest of the settings that decide which bars the market has, however many of them are used."""
    names = [name for name in SOURCE_FIELDS[market.source] if (market.source, name) != ("exchange", "bars")]
    values = market.model_dump(mode="json", include={"source", *names})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def follow(policy: PolicyStore) -> FollowedMarket | None:
    """Return the row of the policy's market, None if it cannot grow."""
    market = policy.market
    if not isinstance(market, MarketConfig) or market.source not in GROWING:
        return None
    row, _ = FollowedMarket.objects.get_or_create(
        identity=identity(market), defaults={"config": market.model_dump(mode="json"), "label": market.label}
    )
    return row
