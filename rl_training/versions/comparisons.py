"""Comparisons of versions: requesting and finding them, and beat's housekeeping of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from rl_training.core.market_config import MarketConfig
from rl_training.models import ComparedVersion, Comparison, PolicyVersion
from rl_training.runs import work_lifecycle

# Each account is a line of one chart, and more lines cannot be distinguished.
FEWEST_VERSIONS, MOST_VERSIONS = 2, 8
SELECT = f"Select {FEWEST_VERSIONS} to {MOST_VERSIONS} different versions."

Status = Comparison.Status


class CannotCompareError(Exception):
    """The versions cannot be compared; the message says why."""


def request(versions: Sequence[PolicyVersion], *, user: Any = None, send_message: bool = True) -> Comparison:
    """Queue a comparison of these versions, in this order, and notify a worker; or return an active one of the same.

    All versions trade at the costs of the first version. Raises `CannotCompareError`.
    """
    ids = [version.pk for version in versions]
    if len(set(ids)) != len(ids):
        raise CannotCompareError(SELECT)
    with transaction.atomic():
        # The rows are locked, so that no version loses its weights before the comparison refers to it.
        locked = PolicyVersion.objects.select_for_update(of=("self",)).filter(pk__in=ids).order_by("pk")
        check(list(locked.select_related("policy", "run").defer("evaluation")))
        market = common_market(versions)
        active = Comparison.objects.of_versions(ids).active().first()
        if active is not None:
            return active
        comparison = Comparison.objects.create(size=len(ids), market=market.label, requested_by=user)
        ComparedVersion.objects.bulk_create(
            ComparedVersion(comparison=comparison, version_id=pk, place=place) for place, pk in enumerate(ids)
        )
        if send_message:
            work_lifecycle.notify([comparison])
    return comparison


def check(versions: Sequence[PolicyVersion]) -> None:
    """Raise `CannotCompareError` if it is known without computing that these versions cannot be compared."""
    if not FEWEST_VERSIONS <= len(versions) <= MOST_VERSIONS:
        raise CannotCompareError(SELECT)
    for version in versions:
        if version.weights_removed_at is not None:
            raise CannotCompareError(f"The weights of {version} were removed.")
    common_market(versions)


def common_market(versions: Sequence[PolicyVersion]) -> MarketConfig:
    """Return the market that all versions were trained on; for an exchange, with the largest number of bars of any run.

    Raises `CannotCompareError` that names a version whose market differs or is stored unreadable.
    """
    configs = []
    for version in versions:
        try:
            configs.append(MarketConfig.model_validate(version.run.config["market"]))
        except (ValidationError, KeyError, TypeError):
            raise CannotCompareError(f"The market of {version} is stored unreadable.") from None
        if configs[-1].identity != configs[0].identity:
            first, other = (configs[0].label, configs[-1].label)
            also = "" if first != other else ", with other settings"
            raise CannotCompareError(
                f"The versions have different markets: {versions[0]} has {first}, {version} has {other}{also}."
            )
    return max(configs, key=lambda config: config.bars)


def find(comparison_id: str) -> Comparison | None:
    """Return the comparison with this id and the user who requested it."""
    return Comparison.objects.select_related("requested_by").filter(comparison_id=comparison_id).first()


def newest_of(versions: Sequence[int]) -> Comparison | None:
    """Return the newest comparison of the versions with these ids, in this order, that has or may get a result."""
    found = Comparison.objects.of_versions(versions).exclude(status__in=[Status.FAILED, Status.CANCELLED])
    return found.defer("result").first()


def release(comparison: Comparison, workers_lost: int | None = None) -> bool:
    """Release a comparison: running -> queued; return False when another attempt owns the comparison."""
    with transaction.atomic():
        released = work_lifecycle.release(comparison, workers_lost=workers_lost)
        if released:
            work_lifecycle.notify([comparison])
    return released


def maintain(now: datetime, *, may_reap: bool) -> None:
    """Queue comparisons with a lost worker again, or fail them, and send lost messages again.

    `may_reap` is False while missing heartbeats prove nothing, as after the database was away.
    """
    if may_reap:
        work_lifecycle.reap(Comparison, release, work_lifecycle.fail)
    work_lifecycle.resend_undelivered(Comparison.objects.defer("result"), now)
