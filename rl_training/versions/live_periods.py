"""The periods in which versions were live."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from rl_training.models import Deployment


@dataclass(frozen=True)
class LivePeriod:
    """A time during which a version was live; `until` is None while it is live."""

    since: datetime
    until: datetime | None


def live_periods(versions: Collection[int]) -> dict[int, list[LivePeriod]]:
    """Return the periods of the versions with these ids that were ever live, the earliest first."""
    rows = Deployment.objects.filter(version__in=versions).order_by("at")
    found: dict[int, list[tuple[datetime, datetime | None]]] = {}
    for version, since, until in rows.values_list("version_id", "at", "following__at"):
        found.setdefault(version, []).append((since, until))
    return {version: periods_of(times) for version, times in found.items()}


def periods_of(times: Iterable[tuple[datetime, datetime | None]]) -> list[LivePeriod]:
    """Return the periods of a version from the times of its deployments and of those that followed, earliest first.

    Deployments of one version that follow each other, such as a promotion and a pin, form one period.
    """
    periods: list[LivePeriod] = []
    for since, until in times:
        if periods and periods[-1].until == since:
            since = periods.pop().since
        periods.append(LivePeriod(since, until))
    return periods
