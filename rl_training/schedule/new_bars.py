"""Finds due slots that are skipped because too few bars are new since the policy's last successful run."""

from collections.abc import Sequence
from datetime import datetime

import structlog
from django.conf import settings
from pydantic import ValidationError

from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.new_bars import count_new_bars
from rl_training.core.market_config import MarketConfig
from rl_training.core.words import count_of
from rl_training.models import PolicyStore, SlotReason, TrainingRun
from rl_training.models.slots import Skipped

log = structlog.get_logger(__name__)


def find_too_few(policies: Sequence[PolicyStore], now: datetime) -> dict[int, Skipped]:
    """Return the reason, by the policy's id, for each due slot that is skipped for lack of new bars.

    The slot of a policy is not skipped if the policy has no successful run, if its market has changed since, or if its
    new bars cannot be counted. No query is made unless a policy has a `min_new_bars`.
    """
    limited = {policy.pk: policy for policy in policies if policy.min_new_bars}
    found = {}
    for run in TrainingRun.objects.last_succeeded(limited) if limited else ():
        policy = limited[run.policy_id]
        new = _new_bars(policy, run, now)
        if new is not None and new < policy.min_new_bars:
            detail = f"{count_of(new, 'new bar')}, {policy.min_new_bars:,} needed"
            found[policy.pk] = Skipped(SlotReason.TOO_FEW_NEW_BARS, detail)
    return found


def _new_bars(policy: PolicyStore, run: TrainingRun, now: datetime) -> int | None:
    """Return how many bars closed since the last bar of the run; None if this is unknown."""
    last = _last_bar(policy.market, run)
    if last is None or not isinstance(policy.market, MarketConfig):
        return None
    try:
        return count_new_bars(policy.market, last, now, settings.MARKET_DATA_ROOT)
    except MarketDataError as error:
        log.warning("New bars cannot be counted, the slot runs", policy=policy.name, error=str(error))
        return None


def _last_bar(market: object, run: TrainingRun) -> datetime | None:
    """Return when the last bar of the run opened; None if the run had another market, or if its bars are unknown."""
    try:
        was = MarketConfig.model_validate(run.config["market"])
        last = datetime.fromisoformat((run.market_summary or {})["last"])
    except (ValidationError, KeyError, TypeError, ValueError):
        return None
    if not isinstance(market, MarketConfig) or last.tzinfo is None:
        return None
    return last if was.model_copy(update={"train_fraction": market.train_fraction}) == market else None
