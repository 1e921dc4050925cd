"""Rows about a comparison of two arms on new bars for a browser."""

import random
from datetime import timedelta

from django.utils import timezone

from rl_training.core.market_config import MarketConfig
from rl_training.decisions.comparing.advancing import Pair, step
from rl_training.models import ComparedBar, PolicyStore
from tests.browser.names import DECIDED, GROWING
from tests.stored import stored_comparison

BARS = 60
HOUR = timedelta(hours=1)


def store_compared() -> str:
    """Store a running comparison of two arms of a disabled policy, an hour for each bar, and return its id."""
    market = MarketConfig(source="file", path=GROWING)
    policy = PolicyStore.objects.create(name=DECIDED, enabled=False, market=market)
    first, chance = timezone.now() - BARS * HOUR, random.Random(3)
    comparison = stored_comparison(policy, requested_at=first)
    equity, rows = 1.0, []
    for number in range(BARS):
        opened_at = first + number * HOUR
        rows.append(step(comparison, Pair(opened_at, opened_at + HOUR, 1.0, equity)))
        equity *= 1.0 + chance.gauss(0.002, 0.01)
    ComparedBar.objects.bulk_create(row for row in rows if row)
    comparison.save()
    return str(comparison)
