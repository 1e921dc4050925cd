"""The names of a policy's streams: `<policy>.<kind>`."""

from collections.abc import Iterable

STARTED, PROGRESS, COMPLETED = "training.started", "training.progress", "training.completed"
CHANGED = "deployment.changed"
DECIDED = "decision.made"
COMPARED = "comparison.ended"
VALIDATION_STARTED, VALIDATION_COMPLETED = "validation.started", "validation.completed"
# The kinds of events of the outbox, which consumers read. Progress is also published, at best effort.
EVENT_KINDS = (STARTED, COMPLETED, CHANGED, VALIDATION_STARTED, VALIDATION_COMPLETED, DECIDED, COMPARED)


def stream(policy: str, kind: str) -> str:
    """Return the name of a policy's stream, which is also the type of the events on it."""
    return f"{policy}.{kind}"


def streams(policies: Iterable[str], kinds: Iterable[str]) -> list[str]:
    """Return the names of the streams of these kinds, policy by policy."""
    kinds = list(kinds)
    return [stream(policy, kind) for policy in policies for kind in kinds]
