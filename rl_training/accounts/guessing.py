"""Limits of guesses: a few failures are free, then each further failure doubles the wait.

Failures count per user and per address. Failures at a place where the user is known count separately, per user and
place: neither failures elsewhere nor failures of other users at the same address lock the user out there. OWASP calls
the cookies of known browsers "device cookies":
https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Greatest
from django.utils import timezone

from quantum_trader.web.networks import network_of
from rl_training.accounts.models import MAX_NAME_LENGTH, FailedLogins, KnownPlace

Kind = FailedLogins.Kind
# A person mistypes a password a few times; a network has several persons; a program repeats an expired token.
FREE = {Kind.USER: 5, Kind.PLACE: 10, Kind.ADDRESS: 10, Kind.TOKENS: 20}
FIRST_DELAY, LONGEST_DELAY = timedelta(seconds=30), timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(days=1)
KNOWN_FOR = timedelta(days=90)
# A place in daily use is written once a day.
KNOWN_AGAIN_AFTER = timedelta(days=1)


class Bucket(NamedTuple):
    """Failures that are counted together; see `FailedLogins`."""

    kind: FailedLogins.Kind
    user: str
    place: str

    @property
    def row(self) -> Q:
        return Q(kind=self.kind, user=self.user, place=self.place)


@dataclass(frozen=True)
class Origin:
    """The client of a login: its IP address, and the id of the browser's cookie, both empty where unknown."""

    address: str = ""
    browser: str = ""

    @property
    def network(self) -> str:
        """The network of the address; one client may use every address of the network, see `network_of`."""
        return network_of(self.address)

    @property
    def places(self) -> list[str]:
        """The places at which a user may be known, the narrowest first."""
        return [place for place in (self.browser and f"browser {self.browser}", self.network) if place]


def name_of(user: str) -> str:
    """Return the name by which failures of a user are counted; users whose names differ in case count together."""
    return unicodedata.normalize("NFKC", user).replace("\0", "").casefold()[:MAX_NAME_LENGTH]


def login_buckets(user: str, origin: Origin) -> list[Bucket]:
    """Return the buckets that count a failed login as `user`."""
    name, since = name_of(user), timezone.now() - KNOWN_FOR
    known = set(
        KnownPlace.objects.filter(user=name, place__in=origin.places, last_used_at__gt=since).values_list(
            "place", flat=True
        )
    )
    for place in origin.places:
        if place in known:
            return [Bucket(Kind.PLACE, name, place)]
    return [Bucket(Kind.USER, name, ""), *([Bucket(Kind.ADDRESS, "", origin.network)] if origin.network else [])]


def token_buckets(origin: Origin) -> list[Bucket]:
    """Return the buckets that count a wrong API token."""
    return [Bucket(Kind.TOKENS, "", origin.network)]


def seconds_to_wait(buckets: Sequence[Bucket]) -> float:
    """Return the seconds for which a guess is refused; 0.0 if a guess is allowed now."""
    now = timezone.now()
    refused = FailedLogins.objects.filter(_rows(buckets), refused_until__gt=now)
    return max((_seconds(until, now) for until in refused.values_list("refused_until", flat=True)), default=0.0)


def reserve(buckets: Sequence[Bucket]) -> float:
    """Count a guess as failed before its secret is checked. Return the seconds for which it is refused, 0.0 if allowed.

    Guesses that arrive at the same time are all counted before the first is checked. A refused guess does not count.
    """
    if wait := seconds_to_wait(buckets):
        return wait
    now = timezone.now()
    with transaction.atomic():
        # Rows are locked in the same order everywhere, so that two transactions do not wait for each other.
        new = [FailedLogins(**bucket._asdict(), last_failure_at=now) for bucket in sorted(buckets)]
        FailedLogins.objects.bulk_create(new, ignore_conflicts=True)
        rows = list(FailedLogins.objects.select_for_update().filter(_rows(buckets)).order_by("kind"))
        wait = max((_seconds(row.refused_until, now) for row in rows), default=0.0)
        for row in rows if not wait else ():
            failures = row.failures if row.last_failure_at > now - FORGOTTEN_AFTER else 0
            row.failures, row.last_failure_at = failures + 1, now
            row.refused_until = now + delay if (delay := delay_after(Kind(row.kind), row.failures)) else None
            row.save()
    return wait


def release(buckets: Sequence[Bucket]) -> None:
    """Remove the failure that `reserve` counted, because the secret was right.

    Earlier failures at a place where the user is known are removed too. Elsewhere earlier failures stay: attackers
    could otherwise clear their address again and again with an account of their own.
    """
    rows = FailedLogins.objects.filter(_rows(buckets))
    rows.filter(kind=Kind.PLACE).delete()
    rows.exclude(kind=Kind.PLACE).update(failures=Greatest(F("failures") - 1, 0), refused_until=None)


def delay_after(kind: FailedLogins.Kind, failures: int) -> timedelta | None:
    """Return how long guesses are refused after this number of failures; None while failures are free."""
    beyond = failures - FREE[kind]
    if beyond < 0:
        return None
    # Ten doublings of the first delay exceed the longest delay.
    doubled: int = 2 ** min(beyond, 10)
    return min(LONGEST_DELAY, FIRST_DELAY * doubled)


def remember(user: str, origin: Origin) -> None:
    """Note that the user has logged in at the places of this client."""
    name, now = name_of(user), timezone.now()
    places = KnownPlace.objects.filter(user=name, place__in=origin.places)
    fresh = set(places.filter(last_used_at__gt=now - KNOWN_AGAIN_AFTER).values_list("place", flat=True))
    for place in set(origin.places) - fresh:
        KnownPlace.objects.update_or_create(user=name, place=place, defaults={"last_used_at": now})


def forget_old(now: datetime) -> None:
    """Delete failures and places that have no effect any more."""
    FailedLogins.objects.filter(last_failure_at__lt=now - FORGOTTEN_AFTER).delete()
    KnownPlace.objects.filter(last_used_at__lt=now - KNOWN_FOR).delete()


def _rows(buckets: Sequence[Bucket]) -> Q:
    return reduce(or_, (bucket.row for bucket in buckets))


def _seconds(until: datetime | None, now: datetime) -> float:
    return max(0.0, (until - now).total_seconds()) if until else 0.0
