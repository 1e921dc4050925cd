"""Idempotency keys: a request that a program repeats with the same key starts only one run."""

import hashlib
from collections.abc import Callable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from rl_training.models import IdempotencyKey, TrainingRun
from rl_training.runs.lifecycle import AlreadyActiveError

MAX_LENGTH = 255
# Longer than any client retries.
KEPT_FOR = timedelta(hours=24)
# Each request deletes more than one key, so that the table does not grow, but few, so that the request stays fast.
DELETED_AT_ONCE = 100


class KeyReusedError(Exception):
    """The key was used for another request."""


def once(user_pk: int, key: str | None, request: str, enqueue: Callable[[], TrainingRun]) -> tuple[TrainingRun, bool]:
    """Return the run that `enqueue` starts, and False; or the run of an earlier call with the same arguments, and True.

    `request` is the request's content as text; without a key, `enqueue` is always called. Run and key are written in
    one transaction: a request that starts no run stores no key. Raises `KeyReusedError` when the user sent the key with
    another content, and the errors of `enqueue`, such as `AlreadyActiveError`.
    """
    if key is None:
        return enqueue(), False
    fingerprint = hashlib.sha256(request.encode()).hexdigest()
    if run := _find_run(user_pk, key, fingerprint):
        return run, True
    try:
        with transaction.atomic():
            run = enqueue()
            IdempotencyKey.objects.create(user_id=user_pk, key=key, fingerprint=fingerprint, run=run)
    except (AlreadyActiveError, IntegrityError):
        # A concurrent request with this key may have been faster.
        run = _find_run(user_pk, key, fingerprint)
        if run is None:
            raise
        return run, True
    delete_old_keys()
    return run, False


def _find_run(user_pk: int, key: str, fingerprint: str) -> TrainingRun | None:
    known = IdempotencyKey.objects.filter(user=user_pk, key=key).values_list("fingerprint", "run_id").first()
    if known is None:
        return None
    if known[0] != fingerprint:
        raise KeyReusedError(key)
    return TrainingRun.objects.defer("config").get(pk=known[1])


def delete_old_keys() -> int:
    """Delete up to DELETED_AT_ONCE keys that are older than KEPT_FOR; return their number."""
    old = IdempotencyKey.objects.filter(created_at__lt=timezone.now() - KEPT_FOR).order_by("created_at")
    with transaction.atomic():
        # Keys that another process is deleting are skipped instead of waited for.
        found = list(old.select_for_update(skip_locked=True).values_list("pk", flat=True)[:DELETED_AT_ONCE])
        return IdempotencyKey.objects.filter(pk__in=found).delete()[0] if found else 0
