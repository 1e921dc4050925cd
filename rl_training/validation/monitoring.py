"""Monitoring: a validated recipe is walked forward again at intervals, which can only end its validation."""

from datetime import datetime, timedelta

import structlog
from django.db.models import Max

from rl_training.models import PolicyStore, Promotion, TrainingRun, Validation
from rl_training.streams import retention
from rl_training.validation import gate
from rl_training.validation.requesting import AlreadyValidatingError, Options, request

log = structlog.get_logger(__name__)

# A validation is repeated once the market has this many times its bars.
GROWTH = 1.2
LOCK = "quantum_trader:monitoring"
EVERY_SECONDS = 60


def maintain(now: datetime) -> None:
    """Request due walk-forwards, once in EVERY_SECONDS. Raises `redis.RedisError`."""
    if retention.acquire(LOCK, EVERY_SECONDS):
        request_due(now)


def request_due(now: datetime) -> int:
    """Request a walk-forward of each validated recipe that an enabled policy uses and that is due; return their number.

    A recipe is due `revalidate_days` after its last walk-forward, or when the policy's last successful run had a fifth
    more bars than that walk-forward. A failed walk-forward is repeated after a day.
    """
    recipes = set(Validation.objects.in_force().order_by().values_list("recipe", flat=True))
    requested = 0
    for policy in PolicyStore.objects.filter(promotion=Promotion.VALIDATED, enabled=True) if recipes else ():
        recipe = gate.recipe_of(policy)
        validation = gate.in_force(recipe, policy) if recipe in recipes else None
        if validation is None or not _is_due(policy, validation, now):
            continue
        try:
            request(policy, Options(folds=validation.folds))
        except AlreadyValidatingError:
            continue
        log.info("Validated recipe is walked forward again", policy=policy.name, validation_id=validation.validation_id)
        requested += 1
    return requested


def _is_due(policy: PolicyStore, validation: Validation, now: datetime) -> bool:
    walks = Validation.objects.filter(recipe=validation.recipe)
    tried = walks.aggregate(at=Max("requested_at"))["at"]
    if now - tried < timedelta(days=1):
        return False
    newest = walks.filter(status="succeeded").order_by("-finished_at").only("bars", "finished_at").first() or validation
    if newest.finished_at is None or now - newest.finished_at >= timedelta(days=policy.revalidate_days):
        return True
    run = TrainingRun.objects.last_succeeded([policy.pk]).first()
    bars = run.market_summary.get("bars") if run is not None and isinstance(run.market_summary, dict) else None
    return isinstance(bars, int) and newest.bars is not None and bars >= GROWTH * newest.bars
