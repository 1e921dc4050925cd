"""The slot ledger for users, with the slots after its last row that have come and are not decided yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from quantum_trader.timestamps import utc_text
from rl_training.models import PolicyStore
from rl_training.models.slots import slots_until

# A range as lists and commands show it. Double underscores follow a relation.
COLUMNS = (
    "pk",
    "first_slot",
    "last_slot",
    "slots",
    "interval_minutes",
    "outcome",
    "reason",
    "detail",
    "run__run_id",
    "run__status",
    "lateness_seconds",
)
DISABLED, ACTIVE_RUN, DUE = "disabled", "active_run", "due"


@dataclass(frozen=True)
class Passing:
    """Slots from a policy's next slot until now. They are computed: nothing is written while a policy is disabled.

    because  `disabled`: the slots are skipped; `active_run`: they wait for the end of a run; `due`: beat comes next
    since    when the policy was disabled; None if it is enabled, or if the time is unknown
    """

    first_slot: datetime
    last_slot: datetime
    slots: int
    because: str
    since: datetime | None


def passing_slots(policy: PolicyStore, now: datetime) -> Passing | None:
    """Return the policy's slots that have come and are not in the ledger yet; None if its next slot is ahead."""
    first = policy.next_run_at
    if first > now:
        return None
    count = slots_until(first, now, policy.interval) or 1
    since = None
    if not policy.enabled:
        because, since = DISABLED, disabled_since(policy)
    else:
        because = ACTIVE_RUN if policy.runs.active().exists() else DUE
    return Passing(first, first + (count - 1) * policy.interval, count, because, since)


def disabled_since(policy: PolicyStore) -> datetime | None:
    """Return the time of the change that disabled the policy, from its history."""
    saved = policy.history.order_by("history_id")
    enabled = saved.filter(enabled=True).values_list("history_id", flat=True).last() or 0
    found: datetime | None = (
        saved.filter(enabled=False, history_id__gt=enabled).values_list("history_date", flat=True).first()
    )
    return found


def describe_range(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of COLUMNS as a JSON object."""
    names = {"run__run_id": "run_id", "run__status": "run_status"}
    found = {names.get(name, name): value for name, value in row.items() if name != "pk"}
    return {name: utc_text(value) if isinstance(value, datetime) else value for name, value in found.items()}


def words_for(row: Mapping[str, Any]) -> str:
    """Return the outcome of a row of COLUMNS in words."""
    if row["outcome"] == "ran":
        return f"run {row['run__run_id']} {row['run__status']}, queued {row['lateness_seconds']:,.1f} s late"
    reason = row["reason"].replace("_", " ") + (f": {row['detail']}" if row["detail"] else "")
    if row["outcome"] == "coalesced":
        return f"coalesced into run {row['run__run_id']} {row['run__status']} ({reason})"
    return f"skipped, {reason}"
