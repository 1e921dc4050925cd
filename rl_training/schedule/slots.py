"""Slots: the times at which the schedule makes a run of a policy due. `next_run_at` is a policy's next slot."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from rl_training.core import fault_points
from rl_training.models import PolicyStore, TrainingRun
from rl_training.models.slots import Move, Ran, Skipped, SlotReason, following, move_next_slots
from rl_training.runs import lifecycle


def enqueue_due(policies: Sequence[PolicyStore], now: datetime) -> list[TrainingRun]:
    """Claim the due slots of these policies and store their runs, all or none, without notifying a worker.

    Skips slots that another beat process has already claimed. All slots missed until now become one run; the next slot
    keeps their rhythm. Raises `AlreadyActiveError`, and `InvalidConfigError` when a config is stored invalid.
    """
    fault_points.reach("slots_due")
    with transaction.atomic():
        claimed = _claim(policies)
        starts = PolicyStore.objects.filter(pk__in=[policy.pk for policy in claimed]).initial_versions()
        runs = [
            lifecycle.unsaved(policy, TrainingRun.Trigger.SCHEDULE, scheduled_for=policy.next_run_at)
            for policy in claimed
        ]
        for policy, run in zip(claimed, runs, strict=True):
            run.initial_version_id = starts[policy.pk]
            policy.schedule_error = ""
        lifecycle.insert(runs)
        late = [policy.pk for policy in claimed if policy.next_run_at + policy.interval <= now]
        busy = TrainingRun.objects.last_active(late) if late else {}
        moves = [
            Move(policy, _following(policy, now), Ran(run, now, busy.get(policy.pk)))
            for policy, run in zip(claimed, runs, strict=True)
        ]
        move_next_slots(moves)
        fault_points.reach("runs_inserted")
    return runs


def skip_due(policies: Sequence[PolicyStore], now: datetime, skipped: Mapping[int, Skipped]) -> None:
    """Skip the due slots of these policies: move to the next slots without a run. `skipped` has the reasons by id.

    Slots that another beat process has already claimed are ignored. `schedule_error` becomes the reason's detail,
    except for too few new bars.
    """
    with transaction.atomic():
        claimed = _claim(policies)
        for policy in claimed:
            outcome = skipped[policy.pk]
            policy.schedule_error = "" if outcome.reason == SlotReason.TOO_FEW_NEW_BARS else outcome.detail
        move_next_slots([Move(policy, _following(policy, now), skipped[policy.pk]) for policy in claimed])


def _claim(policies: Sequence[PolicyStore]) -> list[PolicyStore]:
    """Lock the rows of these policies and return them as they are stored, except those whose slot has moved."""
    slots = {policy.pk: policy.next_run_at for policy in policies}
    held = PolicyStore.objects.held(slots).filter(enabled=True)
    return [policy for policy in held if policy.next_run_at == slots[policy.pk]]


def _following(policy: PolicyStore, now: datetime) -> datetime:
    return following(policy.next_run_at, policy.interval, now)


def upcoming(policy: PolicyStore, now: datetime, count: int) -> list[datetime]:
    """Return the next `count` slots as beat would compute them if the policy were saved as it is.

    A slot that is already due is the first.
    """
    slots = [brought_forward(policy, now)]
    while len(slots) < count:
        slots.append(following(slots[-1], policy.interval, now))
    return slots


def brought_forward(policy: PolicyStore, now: datetime) -> datetime:
    """Return the policy's next slot, at most one interval from now. A shortened interval counts from the last slot.

    After the clock was set back, the next slot is now, because the coming slots of the old rhythm may have runs
    already.
    """
    if policy.next_run_at <= now + policy.interval:
        return policy.next_run_at
    # The runs count too, because the ledger lacks slots of releases without a ledger.
    last = policy.runs.aggregate(last=Max("scheduled_for"))["last"]
    accounted = policy.slots.aggregate(last=Max("last_slot"))["last"]
    last = max(filter(None, (last, accounted)), default=None)
    return max(now, last + policy.interval) if last and last <= now else now


def bring_forward(policy: PolicyStore, now: datetime) -> None:
    """Store `brought_forward()` as the policy's next slot."""
    slot = brought_forward(policy, now)
    if slot == policy.next_run_at:
        return
    with transaction.atomic():
        held = PolicyStore.objects.held([policy.pk]).first()
        if held is not None and held.next_run_at == policy.next_run_at:
            move_next_slots([Move(held, slot, None)])
    policy.next_run_at = slot
