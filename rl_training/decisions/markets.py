"""The followed markets: markets that grow and whose policies have or had a live version or a challenger."""

import hashlib
import json
from collections.abc import Collection, Sequence
from typing import Any, TypeGuard

from django.db.models import OuterRef, Subquery

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market_config import SOURCE_FIELDS, MarketConfig
from rl_training.core.market_values import OWN, own_columns
from rl_training.models import Deployment, FollowedMarket, InvalidConfig, PolicyStore
from rl_training.models.version_results import MARKET_LENGTH

# The sources whose markets can grow.
GROWING = {"exchange", "file"}


def grows(market: MarketConfig | InvalidConfig) -> TypeGuard[MarketConfig]:
    """Return whether a policy's market can grow; a market that is stored invalid cannot."""
    return isinstance(market, MarketConfig) and market.source in GROWING


def identity(market: MarketConfig, columns: Sequence[str] = ()) -> str:
    """Return the digest of the settings and further columns that decide which bars the market has.

    The number of bars that are used does not count. Further columns count, because a row may be dropped for a value.
    """
    names = [name for name in SOURCE_FIELDS[market.source] if (market.source, name) != ("exchange", "bars")]
    values = market.model_dump(mode="json", include={"source", *names})
    if columns:
        values["further_columns"] = sorted(columns)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def live_columns(policies: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Return the further columns that the live version observes, by the policy's id, in one query."""
    newest = Deployment.objects.filter(policy=OuterRef("pk")).order_by("-at").values("pk")[:1]
    chosen = PolicyStore.objects.order_by().filter(pk__in=policies).annotate(newest=Subquery(newest)).values("newest")
    live = Deployment.objects.order_by().filter(pk__in=chosen).values_list("policy_id", "version__run__config")
    return {policy: observed_under(config) for policy, config in live}


def observed_under(config: Any) -> tuple[str, ...]:
    """Return the further columns that a version observes, from the config of its run, in the order of their names."""
    features = config.get("environment", {}).get("features", []) if isinstance(config, dict) else []
    return own_columns(features)


def follow(policy: PolicyStore, live: Collection[str]) -> FollowedMarket | None:
    """Return the row of the policy's market, or None if the market cannot grow.

    The bars have the further columns that the live version observes, `live`, and those that the settings name.
    """
    market = policy.market
    if not grows(market):
        return None
    environment = policy.environment
    own = environment.own_columns if isinstance(environment, EnvironmentConfig) else ()
    columns = tuple(sorted({*own, *live})) if market.source == "file" else ()
    label = f"{market.label} with {', '.join(OWN + name for name in columns)}" if columns else market.label
    row, _ = FollowedMarket.objects.get_or_create(
        identity=identity(market, columns),
        defaults={
            "config": market.model_dump(mode="json"),
            "columns": list(columns),
            "label": label[:MARKET_LENGTH],
        },
    )
    return row
