"""The outbox: an event is a row, written in the transaction of the change that it announces."""

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from quantum_trader.timestamps import utc_text
from rl_training.models import ArmComparison, Decision, Deployment, TrainingEvent, TrainingRun, Validation
from rl_training.streams import names, relay
from rl_training.transactions import after_commit


def write(run: TrainingRun, kind: str, payload: dict[str, Any]) -> TrainingEvent:
    """Add the event `<policy>.training.<kind>` to the current transaction and relay it to Redis after the commit.

    If Redis is down then, beat relays the event later.
    """
    return _write(names.stream(run.policy.name, f"training.{kind}"), payload, run=run)


def write_deployment(deployment: Deployment, payload: dict[str, Any]) -> TrainingEvent:
    """Add the event `<policy>.deployment.changed` to the current transaction, and relay it like an event of a run."""
    return _write(names.stream(deployment.policy.name, names.CHANGED), payload, deployment=deployment)


def write_validation(validation: Validation, kind: str, payload: dict[str, Any]) -> TrainingEvent:
    """Add the event `<policy>.<kind>` to the current transaction, and relay it like an event of a run."""
    return _write(names.stream(validation.policy.name, kind), payload, validation=validation)


def write_comparison(comparison: ArmComparison, payload: dict[str, Any]) -> TrainingEvent:
    """Add the event `<policy>.comparison.ended` to the current transaction, and relay it like an event of a run."""
    return _write(names.stream(comparison.policy.name, names.COMPARED), payload, arm_comparison=comparison)


def write_decisions(decisions: Sequence[Decision], payloads: Sequence[dict[str, Any]]) -> list[TrainingEvent]:
    """Add an event `<policy>.decision.made` for each decision to the transaction, and relay all together."""
    now = timezone.now()
    events = TrainingEvent.objects.bulk_create(
        TrainingEvent(
            event_type=names.stream(decision.policy.name, names.DECIDED),
            timestamp=now,
            payload=payload | {"timestamp": utc_text(now)},
            decision=decision,
        )
        for decision, payload in zip(decisions, payloads, strict=True)
    )
    after_commit(lambda: relay.relay_all(events))
    return events


def _write(event_type: str, payload: dict[str, Any], **subject: Any) -> TrainingEvent:
    now = timezone.now()
    event = TrainingEvent.objects.create(
        event_type=event_type, timestamp=now, payload=payload | {"timestamp": utc_text(now)}, **subject
    )
    after_commit(lambda: relay.relay(event))
    return event
