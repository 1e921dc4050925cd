"""Limits of guesses at secrets that the settings name: Flower's logins and METRICS_TOKEN."""

import time

import django.db
import structlog

from rl_training.accounts import failures, guessing
from rl_training.accounts.guessing import Origin

log = structlog.get_logger("accounts")

# A monitor sends its token every few seconds.
REMEMBERED_EVERY_SECONDS = 3600.0
_remembered: dict[tuple[str, str], float] = {}


def refusal(what: str, name: str, origin: Origin, *, right: bool) -> float | None:
    """Return None for an accepted secret, 0.0 for a wrong secret, else the seconds for which guesses are refused.

    `name` is the secret's owner, and `right` says whether the client sent the right secret. A right secret is accepted
    while the database is unavailable, because monitors need an answer then.
    """
    user = f"{what}: {name}"
    try:
        buckets = guessing.login_buckets(user, origin)
        wait = guessing.seconds_to_wait(buckets) if right else guessing.reserve(buckets)
        if right and not wait:
            remember_hourly(user, origin)
            return None
    except django.db.Error as error:
        django.db.connection.close()
        if right:
            return None
        log.warning("A failed login is not limited", error=" ".join(str(error).split()))
        wait = 0.0
    failures.note(what, name, origin, wait)
    return wait


def remember_hourly(user: str, origin: Origin) -> None:
    """Store that this secret is used at this address, unless this process has stored it within the hour."""
    key, now = (user, origin.network), time.monotonic()
    if now - _remembered.get(key, -REMEMBERED_EVERY_SECONDS) >= REMEMBERED_EVERY_SECONDS:
        guessing.remember(user, origin)
        _remembered[key] = now
