"""The ledger of trials: numbers the trials of a market and sets the level that each trial may spend."""

from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from rl_training.core.market_config import MarketConfig
from rl_training.core.run.walk_forward.verdict import trial_level
from rl_training.models import Trial, TrialMarket
from rl_training.models.version_results import MARKET_LENGTH


def begin(config: MarketConfig, kind: Trial.Kind, *, recipe: str, policy: str) -> Trial:
    """Add a trial of a recipe to the ledger of the market, in the current transaction.

    The counter's row stays locked until that transaction ends, so that parallel trials have different numbers.
    """
    with transaction.atomic():
        market, _ = TrialMarket.objects.get_or_create(
            key=ledger_key(config), defaults={"label": config.ledger_label[:MARKET_LENGTH]}
        )
        TrialMarket.objects.filter(pk=market.pk).update(trials=F("trials") + 1)
        market.refresh_from_db()
        alpha = settings.PROMOTION_ALPHA
        return Trial.objects.create(
            market=market,
            number=market.trials,
            kind=kind,
            recipe=recipe,
            policy_name=policy,
            alpha=alpha,
            level=trial_level(market.trials, alpha),
            at=timezone.now(),
        )


def ledger_key(config: MarketConfig) -> str:
    """Return the key of the market in the ledger. Links to a file have the key of the file itself."""
    if config.source != "file":
        return config.ledger_key()
    root = Path(settings.MARKET_DATA_ROOT).resolve()
    path = (root / config.path).resolve()
    return config.ledger_key(str(path.relative_to(root)) if path.is_relative_to(root) else "")


def number_of_trials(market: str) -> int:
    """Return how many trials the market with this key has had."""
    return TrialMarket.objects.filter(key=market).values_list("trials", flat=True).first() or 0


def spent(market: str) -> float:
    """Return the sum of the levels of the trials on the market with this key, a part of PROMOTION_ALPHA."""
    total: float | None = Trial.objects.filter(market__key=market).aggregate(total=Sum("level"))["total"]
    return total or 0.0


def recipes_tried(market: str) -> int:
    """Return how many different recipes were tried on the market with this key."""
    return Trial.objects.filter(market__key=market).values("recipe").distinct().count()
