import argparse
import json
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from rl_training import events
from rl_training.models import PolicyStore

# Shorter than the client's socket timeout, which would otherwise end a wait for news as an error.
BLOCK_MILLISECONDS = 2000


class Command(BaseCommand):
    help = "Print the entries of the policies' streams, oldest first, one JSON object a line."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--follow", action="store_true", help="go on with new entries, progress included, until Ctrl-C"
        )

    def handle(self, *, follow: bool, **_: Any) -> None:
        try:
            last = self._print_stored()
            while follow:
                last = self._print_new(last)
        except KeyboardInterrupt:
            return
        except redis.RedisError as error:
            raise CommandError(f"Redis cannot be reached: {error}. Is `make up` running, or REDIS_URL right?") from None

    def _streams(self, *kinds: str) -> list[str]:
        names = PolicyStore.objects.values_list("name", flat=True)
        return [f"{name}.training.{kind}" for name in names for kind in kinds]

    def _print_stored(self) -> dict[str, str]:
        """Returns the id of the last entry of each stream."""
        entries = [
            (entry_id, stream, fields)
            for stream in self._streams("started", "completed")
            for entry_id, fields in events.stored(stream)
        ]
        for _, _, fields in sorted(entries, key=lambda entry: [int(part) for part in entry[0].split("-")]):
            self._print(fields)
        return {stream: entry_id for entry_id, stream, _ in entries}

    def _print_new(self, last: dict[str, str]) -> dict[str, str]:
        # A stream not seen so far is read from its start: a policy may have been added meanwhile.
        streams = {stream: last.get(stream, "0") for stream in self._streams("started", "progress", "completed")}
        for stream, entries in events.read(streams, BLOCK_MILLISECONDS).items():
            for entry_id, fields in entries:
                self._print(fields)
                last[stream] = entry_id
        return last

    def _print(self, fields: dict[str, str]) -> None:
        self.stdout.write(json.dumps({**fields, "payload": json.loads(fields["payload"])}))
