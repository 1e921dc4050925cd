"""The outbox: an event is a row, written in the transaction of the change that it announces."""

from typing import Any

from django.utils import timezone

from quantum_trader.timestamps import utc_text
from rl_training.models import TrainingEvent, TrainingRun
from rl_training.streams import relay
from rl_training.transactions import after_commit


def write(run: TrainingRun, kind: str, payload: dict[str, Any]) -> TrainingEvent:
    """Add the event `<policy>.training.<kind>` to the current transaction and relay it to Redis after the commit.

    Where Redis is away then, beat relays the event later.
    """
    now = timezone.now()
    event = TrainingEvent.objects.create(
        event_type=f"{run.policy.name}.training.{kind}",
        run=run,
        timestamp=now,
        payload=payload | {"timestamp": utc_text(now)},
    )
    after_commit(lambda: relay.relay(event))
    return event
