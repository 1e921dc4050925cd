"""Slots: the times at which the schedule makes a run of a policy due. `next_run_at` is a policy's next slot."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from rl_training.core import fault_points
from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle


def enqueue_due(policies: Sequence[PolicyStore], now: datetime) -> list[TrainingRun]:
    """Claim the due slots of these policies and store their runs, all or none, without notifying a worker.

    Skips slots that another beat process has already claimed. All slots missed until now become one run; the next slot
    keeps their rhythm. Raises `AlreadyActiveError`, and `InvalidConfigError` when a config is stored invalid.
    """
    fault_points.reach("slots_due")
    slots = {policy.pk: policy.next_run_at for policy in policies}
    with transaction.atomic():
        held = PolicyStore.objects.held_for_enqueue(slots)
        claimed = [policy for policy in held if policy.next_run_at == slots[policy.pk]]
        starts = PolicyStore.objects.filter(pk__in=slots).initial_versions()
        runs = [
            lifecycle.unsaved(policy, TrainingRun.Trigger.SCHEDULE, scheduled_for=policy.next_run_at)
            for policy in claimed
        ]
        for policy, run in zip(claimed, runs, strict=True):
            run.initial_version_id = starts[policy.pk]
            policy.next_run_at = following(policy, policy.next_run_at, now)
            policy.schedule_error = ""
        PolicyStore.objects.bulk_update(claimed, ["next_run_at", "schedule_error"])
        lifecycle.insert(runs)
        fault_points.reach("runs_inserted")
    return runs


def following(policy: PolicyStore, slot: datetime, now: datetime) -> datetime:
    """Return the first slot after `slot` and after now, in the rhythm of `slot`."""
    interval = timedelta(minutes=policy.interval_minutes)
    return slot + (max(now - slot, timedelta()) // interval + 1) * interval


def upcoming(policy: PolicyStore, now: datetime, count: int) -> list[datetime]:
    """Return the next `count` slots as beat would compute them if the policy were saved as it is.

    A slot that is due already comes first.
    """
    slots = [brought_forward(policy, now)]
    while len(slots) < count:
        slots.append(following(policy, slots[-1], now))
    return slots


def brought_forward(policy: PolicyStore, now: datetime) -> datetime:
    """Return the policy's next slot, at most an interval away: a shortened interval counts from the last slot.

    After the clock was set back the next slot is now, because slots in the old rhythm may have had their runs.
    """
    interval = timedelta(minutes=policy.interval_minutes)
    if policy.next_run_at <= now + interval:
        return policy.next_run_at
    last = policy.runs.aggregate(last=Max("scheduled_for"))["last"]
    return max(now, last + interval) if last and last <= now else now


def bring_forward(policy: PolicyStore, now: datetime) -> None:
    """Store `brought_forward()` as the policy's next slot."""
    slot = brought_forward(policy, now)
    if slot != policy.next_run_at:
        PolicyStore.objects.filter(pk=policy.pk, next_run_at=policy.next_run_at).update(next_run_at=slot)
        policy.next_run_at = slot


def skip_due(policy: PolicyStore, now: datetime, reason: str) -> None:
    """Move the policy's due slot an interval away without a run, and store the reason."""
    interval = timedelta(minutes=policy.interval_minutes)
    PolicyStore.objects.filter(pk=policy.pk, next_run_at=policy.next_run_at).update(
        next_run_at=now + interval, schedule_error=reason
    )
