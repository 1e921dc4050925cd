"""The slot ledger: the outcome of each slot of a policy, in ranges of slots with the same outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery

# `models/policies.py` imports this module, which therefore cannot name the type.
PolicyStore = Any


class SlotOutcome(models.TextChoices):
    RAN = "ran"  # the slot made the run
    COALESCED = "coalesced"  # the run of an earlier slot stands for this slot too
    SKIPPED = "skipped"  # no run


class SlotReason(models.TextChoices):
    ACTIVE_RUN = "active_run"  # coalesced: another run of the policy was active
    MISSED = "missed"  # coalesced: the scheduler enqueued nothing, for example while beat was off
    DISABLED = "disabled"  # skipped: the policy was disabled
    TOO_FEW_NEW_BARS = "too_few_new_bars"  # skipped: fewer than the policy's min_new_bars
    INVALID_SETTINGS = "invalid_settings"  # skipped: a config of the policy is stored invalid
    ALREADY_RAN = "already_ran"  # skipped: the slot has a run, for example of a time before the clock was set back


class SlotRangeQuerySet(models.QuerySet["SlotRange"]):
    def newest_of(self, policies: Sequence[PolicyStore]) -> dict[int, SlotRange]:
        """Return the range that was added last to the ledger of each policy, by the policy's id."""
        own = self.model._default_manager.filter(policy=OuterRef("pk")).order_by("-pk").values("pk")
        policy = self.model._meta.get_field("policy").related_model
        newest = policy._default_manager.filter(pk__in=[found.pk for found in policies]).values(
            newest=Subquery(own[:1])
        )
        return {row.policy_id: row for row in self.filter(pk__in=newest)}

    def listed(self) -> SlotRangeQuerySet:
        """Select the ranges for a list, the latest slots first, with their runs' ids and statuses."""
        return self.order_by("-first_slot", "-pk").annotate(run_name=F("run__run_id"), run_status=F("run__status"))

    def within(self, after: datetime | None, before: datetime | None) -> SlotRangeQuerySet:
        """Select the ranges that reach into the time from `after` on and before `before`."""
        found = self if after is None else self.filter(last_slot__gte=after)
        return found if before is None else found.filter(first_slot__lt=before)


class SlotRange(models.Model):
    """Successive slots of a policy with the same outcome. Only `move_next_slots` writes it.

    The ranges of a policy, in the order of their ids, account for each of its slots once: each range begins at the
    `next_slot` of the range before, and the `next_slot` of the last range is the policy's `next_run_at`. When retention
    removes an old run, it also removes the run's ranges and older ranges of skipped slots.
    """

    policy = models.ForeignKey("PolicyStore", on_delete=models.CASCADE, related_name="slots", db_index=False)
    first_slot = models.DateTimeField()
    last_slot = models.DateTimeField()
    slots = models.PositiveIntegerField(help_text="Number of slots, `interval_minutes` apart.")
    interval_minutes = models.PositiveIntegerField()
    next_slot = models.DateTimeField(
        help_text="The policy's next slot after these slots: one interval later, or earlier if the schedule was moved."
    )
    outcome = models.CharField(max_length=10, choices=SlotOutcome)
    reason = models.CharField(
        max_length=20, choices=SlotReason, blank=True, help_text="Why the slots made no run of their own."
    )
    detail = models.TextField(
        blank=True, help_text="The reason in words; for several skipped slots, that of the last slot."
    )
    run = models.ForeignKey(
        "TrainingRun",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="slots",
        db_index=False,
        help_text="The run that the slot made, or that stands for coalesced slots.",
    )
    lateness_seconds = models.FloatField(
        null=True, blank=True, help_text="Time from the slot until its run was queued."
    )

    objects = SlotRangeQuerySet.as_manager()

    class Meta:
        ordering = ("-first_slot",)
        indexes = (
            models.Index(fields=["policy", "-id"], name="slots_newest"),
            models.Index(fields=["run"], condition=Q(run__isnull=False), name="slots_of_run"),
        )
        constraints = (
            models.UniqueConstraint(fields=["policy", "first_slot"], name="slots_once"),
            models.UniqueConstraint(fields=["run"], condition=Q(outcome="ran"), name="slots_one_per_run"),
            models.CheckConstraint(
                condition=Q(outcome="ran", slots=1, run__isnull=False, lateness_seconds__isnull=False, reason="")
                | Q(outcome="coalesced", run__isnull=False, reason__in=["active_run", "missed"])
                | Q(
                    outcome="skipped",
                    run__isnull=True,
                    reason__in=["disabled", "too_few_new_bars", "invalid_settings", "already_ran"],
                ),
                name="slots_outcome_complete",
            ),
            models.CheckConstraint(
                condition=Q(slots=1, last_slot=F("first_slot")) | Q(slots__gt=1, last_slot__gt=F("first_slot")),
                name="slots_in_order",
            ),
        )

    def __str__(self) -> str:
        return f"{self.first_slot:%Y-%m-%d %H:%M:%S}, {self.slots} {self.outcome}"

    @property
    def interval(self) -> timedelta:
        return timedelta(minutes=self.interval_minutes)

    def is_continued_by(self, other: SlotRange) -> bool:
        """Return whether `other` holds the next slots in the same rhythm, skipped for the same reason."""
        same = (self.outcome, self.reason, self.interval) == (other.outcome, other.reason, other.interval)
        return same and self.outcome == SlotOutcome.SKIPPED and self.last_slot + self.interval == other.first_slot


def slots_until(first: datetime, end: datetime, interval: timedelta) -> int:
    """Return the number of slots from `first` on and before `end`."""
    return max(0, -((first - end) // interval))


def following(slot: datetime, interval: timedelta, now: datetime) -> datetime:
    """Return the first slot after `slot` and after now, in the rhythm of `slot`."""
    return slot + (max(now - slot, timedelta()) // interval + 1) * interval


@dataclass(frozen=True)
class Skipped:
    """The slots made no run."""

    reason: SlotReason
    detail: str = ""


@dataclass(frozen=True)
class Ran:
    """The first slot made a stored run at `at`; the run stands for the other slots.

    busy  the times from which and until which another run of the policy was active before
    """

    run: Any
    at: datetime
    busy: tuple[datetime, datetime] | None = None


@dataclass(frozen=True)
class Move:
    """A move of a policy's next slot to `to`, and the outcome of the slots from the old next slot to the new one.

    policy   as stored; the caller holds the lock of its row
    outcome  None only if the move passes no slot
    """

    policy: PolicyStore
    to: datetime
    outcome: Ran | Skipped | None

    def ranges(self, first: datetime) -> list[SlotRange]:
        """Return unsaved ranges that hold each slot from `first` on and before `to` once."""
        count = slots_until(first, self.to, self.policy.interval)
        if not count:
            return []
        if isinstance(self.outcome, Skipped):
            return [self._range(first, count, SlotOutcome.SKIPPED, self.outcome.reason, detail=self.outcome.detail)]
        if self.outcome is None:
            raise ValueError(f"{count} slots of {self.policy} from {first} on have no outcome")
        run, late = self.outcome.run, (self.outcome.at - first).total_seconds()
        found = [self._range(first, 1, SlotOutcome.RAN, run=run, lateness_seconds=max(0.0, late))]
        return found + self._coalesced(first + self.policy.interval, self.outcome)

    def _coalesced(self, first: datetime, outcome: Ran) -> list[SlotRange]:
        begin, end = outcome.busy or (self.to, self.to)
        # The busy time includes its end.
        borders = (begin, end + timedelta(microseconds=1), self.to)
        found = []
        for border, reason in zip(borders, (SlotReason.MISSED, SlotReason.ACTIVE_RUN, SlotReason.MISSED), strict=True):
            if count := slots_until(first, min(border, self.to), self.policy.interval):
                found.append(self._range(first, count, SlotOutcome.COALESCED, reason, run=outcome.run))
                first += count * self.policy.interval
        return found

    def _range(self, first: datetime, count: int, outcome: SlotOutcome, reason: str = "", **columns: Any) -> SlotRange:
        last = first + (count - 1) * self.policy.interval
        return SlotRange(
            policy=self.policy,
            first_slot=first,
            last_slot=last,
            slots=count,
            interval_minutes=self.policy.interval_minutes,
            next_slot=min(last + self.policy.interval, self.to),
            outcome=outcome,
            reason=reason,
            **columns,
        )


def move_next_slots(moves: Sequence[Move]) -> None:
    """Store the next slots of policies with their `schedule_error`, and add the passed slots to the ledger.

    No other code changes a `next_run_at`. The caller has locked the policies' rows and read them after that.
    """
    unread = [move.policy for move in moves if not isinstance(move.outcome, Ran)]
    newest = SlotRange.objects.newest_of(unread) if unread else {}
    added: list[SlotRange] = []
    for move in moves:
        last = newest.get(move.policy.pk)
        ranges = move.ranges(_first_unaccounted(move.policy, last))
        if last and ranges and last.is_continued_by(ranges[0]):
            row = ranges.pop(0)
            last.last_slot, last.next_slot, last.detail = row.last_slot, row.next_slot, row.detail
            last.slots += row.slots
        elif last:
            last.next_slot = ranges[0].first_slot if ranges else move.to
        added += ranges
        move.policy.next_run_at = move.to
    SlotRange.objects.bulk_update(newest.values(), ["last_slot", "next_slot", "detail", "slots"])
    SlotRange.objects.bulk_create(added)
    policies = [move.policy for move in moves]
    if policies:
        type(policies[0]).objects.bulk_update(policies, ["next_run_at", "schedule_error"])


def _first_unaccounted(policy: PolicyStore, newest: SlotRange | None) -> datetime:
    """Return the policy's next slot, or the slot after it if the ledger has the next slot already.

    The ledger has the next slot only after the clock was set back.
    """
    first: datetime = policy.next_run_at
    interval: timedelta = policy.interval
    if newest is None or newest.last_slot < first or not policy.slots.filter(first_slot=first).exists():
        return first
    return first + interval
