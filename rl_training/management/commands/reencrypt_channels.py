from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from rl_training.alerts import encryption
from rl_training.alerts.models import AlertChannel


class Command(BaseCommand):
    help = (
        "Encrypt the addresses of all alert channels anew, after a change of SECRET_KEY. The old key must be in "
        "SECRET_KEY_FALLBACKS, and can be removed from there afterwards. Exit status: 0 all are encrypted, 1 not all."
    )

    def handle(self, **_: Any) -> None:
        unreadable = []
        with transaction.atomic():
            channels = list(AlertChannel.objects.select_for_update().order_by("name"))
            for channel in channels:
                try:
                    channel.sealed_address = encryption.rotate(channel.sealed_address)
                except encryption.UnreadableError:
                    unreadable.append(channel.name)
            AlertChannel.objects.bulk_update(channels, ["sealed_address"])
        done = len(channels) - len(unreadable)
        done = len(channels) - len(unreadable)
        self.stdout.write(f"{done} of {len(channels)} channels are encrypted with SECRET_KEY.")
        if unreadable:
            raise CommandError(
                f"These were encrypted with a key that is neither SECRET_KEY nor in SECRET_KEY_FALLBACKS: "
                f"{', '.join(unreadable)}. Name that key, or enter their addresses again."
            )
