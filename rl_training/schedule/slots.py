"""Slots: the moments at which the schedule makes a run of a policy due. `next_run_at` is a policy's next one."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max

from rl_training.core import fault_points
from rl_training.models import PolicyStore, TrainingRun
from rl_training.runs import lifecycle


def enqueue_due(policies: Sequence[PolicyStore], now: datetime) -> list[TrainingRun]:
    """Take the due slots of these policies and store their runs, in one transaction: of all of them or of none. No
    worker is told yet.

    A slot that another beat took makes no run. All slots missed until now coalesce into one run; the next slot keeps
    the rhythm of the missed ones. Raises `AlreadyActiveError`; `InvalidConfigError` when a config is invalid.
    """
    fault_points.reach("slots_due")
    slots = {policy.pk: policy.next_run_at for policy in policies}
    with transaction.atomic():
        held = PolicyStore.objects.held_for_enqueue(slots)
        taken = [policy for policy in held if policy.next_run_at == slots[policy.pk]]
        newest = PolicyStore.objects.filter(pk__in=slots).newest_versions()
        runs = [
            lifecycle.unsaved(policy, TrainingRun.Trigger.SCHEDULE, scheduled_for=policy.next_run_at)
            for policy in taken
        ]
        for policy, run in zip(taken, runs, strict=True):
            run.initial_version_id = newest[policy.pk]
            policy.next_run_at = following(policy, policy.next_run_at, now)
            policy.schedule_error = ""
        PolicyStore.objects.bulk_update(taken, ["next_run_at", "schedule_error"])
        lifecycle.insert(runs)
        fault_points.reach("runs_inserted")
    return runs


def following(policy: PolicyStore, slot: datetime, now: datetime) -> datetime:
    """The slot after `slot`, in its rhythm, and after now."""
    interval = timedelta(minutes=policy.interval_minutes)
    return slot + (max(now - slot, timedelta()) // interval + 1) * interval


def upcoming(policy: PolicyStore, now: datetime, count: int) -> list[datetime]:
    """The next slots of the policy, one that has come first, as beat would find them were the policy saved as it is."""
    slots = [brought_forward(policy, now)]
    while len(slots) < count:
        slots.append(following(policy, slots[-1], now))
    return slots


def brought_forward(policy: PolicyStore, now: datetime) -> datetime:
    """The policy's next slot, no further away than an interval: a shortened one counts from the policy's last slot.

    After the clock was set back it is now: slots in the rhythm of before may have had their runs.
    """
    interval = timedelta(minutes=policy.interval_minutes)
    if policy.next_run_at <= now + interval:
        return policy.next_run_at
    last = policy.runs.aggregate(last=Max("scheduled_for"))["last"]
    return max(now, last + interval) if last and last <= now else now


def bring_forward(policy: PolicyStore, now: datetime) -> None:
    """Let the policy's next slot be no further away than an interval."""
    slot = brought_forward(policy, now)
    if slot != policy.next_run_at:
        PolicyStore.objects.filter(pk=policy.pk, next_run_at=policy.next_run_at).update(next_run_at=slot)
        policy.next_run_at = slot


def skip_due(policy: PolicyStore, now: datetime, reason: str) -> None:
    """Let the policy's due slot pass without a run, and record why."""
    interval = timedelta(minutes=policy.interval_minutes)
    PolicyStore.objects.filter(pk=policy.pk, next_run_at=policy.next_run_at).update(
        next_run_at=now + interval, schedule_error=reason
    )
