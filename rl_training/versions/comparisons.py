"""Comparisons of versions: requesting and finding them, and what beat does for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from pydantic import ValidationError

from rl_training.core.market_config import MarketConfig
from rl_training.models import ComparedVersion, Comparison, PolicyVersion
from rl_training.runs import work_lifecycle

# Each account is a line of one chart, and more are not told apart.
FEWEST_VERSIONS, MOST_VERSIONS = 2, 8
SELECT = f"Select {FEWEST_VERSIONS} to {MOST_VERSIONS} different versions."

Status = Comparison.Status


class CannotCompareError(Exception):
    """The versions cannot be compared; the message says why."""


def request(versions: Sequence[PolicyVersion], *, user: Any = None, send_message: bool = True) -> Comparison:
    """Queue a comparison of these versions, in this order, and notify a worker; return an active one of the same.

    The first version is the one whose costs all others are given. Raises `CannotCompareError`.
    """
    ids = [version.pk for version in versions]
    if len(set(ids)) != len(ids):
        raise CannotCompareError(SELECT)
    with transaction.atomic():
        # Locked, so that the weights of a version are not removed while it becomes a compared one.
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
    """Raise `CannotCompareError` unless these versions can be compared, as far as it is known before."""
    if not FEWEST_VERSIONS <= len(versions) <= MOST_VERSIONS:
        raise CannotCompareError(SELECT)
    for version in versions:
        if version.weights_removed_at is not None:
            raise CannotCompareError(f"The weights of {version} were removed.")
    common_market(versions)


def common_market(versions: Sequence[PolicyVersion]) -> MarketConfig:
    """Return the market that all versions were trained on; of an exchange's bars, with the most that any run read.

    Raises `CannotCompareError` that names a version whose market is another or is stored unreadable.
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
                f"They are of different markets: {versions[0]} of {first}, {version} of {other}{also}."
            )
    return max(configs, key=lambda config: config.bars)


def find(comparison_id: str) -> Comparison | None:
    """Return the comparison with this id and the user who requested it."""
    return Comparison.objects.select_related("requested_by").filter(comparison_id=comparison_id).first()


def newest_of(versions: Sequence[int]) -> Comparison | None:
    """Return the newest comparison of the versions with these ids, in this order, that has a result or will."""
    found = Comparison.objects.of_versions(versions).exclude(status__in=[Status.FAILED, Status.CANCELLED])
    return found.defer("result").first()


def release(comparison: Comparison, workers_lost: int | None = None) -> bool:
    """running -> queued; return False when another attempt owns the comparison."""
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
