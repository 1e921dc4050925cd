from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from quantum_trader.logs import escape_control_characters
from rl_training.models import PolicyStore

# Beat ticks every second; a busy database or a restart of beat delays it by some seconds.
OVERDUE_AFTER = timedelta(seconds=60)
NO_EDITS = datetime.max.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Check beat. Exit status: 0 beat keeps the schedule, 1 a policy's slot passed over a minute ago without a run."
    )

    def handle(self, **_: Any) -> None:
        due = PolicyStore.objects.due_or_changed(timezone.now() - OVERDUE_AFTER, changed_since=NO_EDITS)
        if overdue := ", ".join(policy.name for policy in due):
            overdue = escape_control_characters(overdue)
            raise CommandError(f"Overdue by more than a minute: {overdue}. Is beat running?")
