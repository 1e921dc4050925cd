"""One run for one key, however often it is asked for."""

import hashlib
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from rl_training.models import IdempotencyKey, TrainingRun
from rl_training.runs.lifecycle import AlreadyActiveError

MAX_LENGTH = 255
# Longer than anybody tries again.
KEPT_FOR = timedelta(hours=24)
# More than are added meanwhile, so that the table does not grow; few enough not to be noticed.
FORGOTTEN_AT_ONCE = 100


class KeyReusedError(Exception):
    """The key was given with another request."""


def once(user_pk: int, key: str | None, asked: str, enqueue: Callable[[], TrainingRun]) -> tuple[TrainingRun, bool]:
    """The run that `enqueue` starts, or the one that the same user started by that key and request; and which it is.

    Run and key are written in one transaction: what starts no run leaves no key. Raises `KeyReusedError` and what
    `enqueue` raises, above all `AlreadyActiveError`.
    """
    if key is None:
        return enqueue(), False
    fingerprint = hashlib.sha256(asked.encode()).hexdigest()
    if run := remembered(user_pk, key, fingerprint):
        return run, True
    try:
        with transaction.atomic():
            run = enqueue()
            IdempotencyKey.objects.create(user_id=user_pk, key=key, fingerprint=fingerprint, run=run)
    except (AlreadyActiveError, IntegrityError):
        # Another request with this key may have been first.
        run = remembered(user_pk, key, fingerprint)
        if run is None:
            raise
        return run, True
    forget()
    return run, False


def remembered(user_pk: int, key: str, fingerprint: str) -> TrainingRun | None:
    known = IdempotencyKey.objects.filter(user=user_pk, key=key).values_list("fingerprint", "run_id").first()
    if known is None:
        return None
    if known[0] != fingerprint:
        raise KeyReusedError(key)
    return TrainingRun.objects.defer("config").get(pk=known[1])


def forget() -> int:
    """Delete some keys that are older than KEPT_FOR; returns how many."""
    old = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).order_by("created_at")
    with transaction.atomic():
        # Another process that deletes the same ones is not waited for.
        found = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
        return IdempotencyKey.objects.filter(pk__in=found).delete()[0] if found else 0
