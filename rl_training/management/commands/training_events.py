import argparse
import json
import math
import os
import socket
import sys
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection

from quantum_trader.redis_clients import redis_client
from quantum_trader.running.supervisor import Signals
from rl_training import keys
from rl_training.models import PolicyStore
from rl_training.streams import names
from rl_training.streams.consumer import BLOCK_MILLISECONDS, Consumer
from rl_training.streams.entries import read, stored

WITH_PROGRESS = (*names.EVENT_KINDS, names.PROGRESS)
RETRY_SECONDS = 1.0


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 7 * 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to a week")
    return value


class Command(BaseCommand):
    help = (
        "Print the entries of the policies' streams, oldest first, one JSON object a line. With --group this is an "
        "example of a consumer: one of the group's consumers prints each event and then acknowledges it. If this "
        "consumer dies, another consumer prints its events. An acknowledged event may be printed again, for example "
        "after Redis lost its data: `event_id` identifies an event."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("policy", nargs="?", help="one policy (default: all)")
        parser.add_argument(
            "--follow",
            action="store_true",
            help="go on with new entries until Ctrl-C or SIGTERM; without --group, progress entries too",
        )
        parser.add_argument(
            "--group", help="with --follow: read as a consumer of this group, which is created if it does not exist"
        )
        parser.add_argument(
            "--consumer", help="this consumer's name, which must be unique in the group (default: host and process)"
        )
        parser.add_argument(
            "--claim-after",
            type=seconds,
            default=60.0,
            metavar="SECONDS",
            help="take over entries that another consumer received and did not acknowledge for so long (default: 60)",
        )

    def handle(self, *, policy: str | None, follow: bool, group: str | None, **options: Any) -> None:
        if group is not None and not follow:
            raise CommandError("--group needs --follow.", returncode=2)
        self.policy, self.known = policy, self._policies(policy)
        try:
            if group is not None:
                name = options["consumer"] or f"{socket.gethostname()}-{os.getpid()}"
                self._consume(Consumer(group, name, options["claim_after"]))
            elif follow:
                self._follow()
            else:
                self._print_stored()
        except KeyboardInterrupt:
            return
        except BrokenPipeError:
            # The reader of the pipe has ended. Python would raise the error again when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except redis.RedisError as error:
            raise CommandError(f"Redis cannot be reached: {error}. Is `make up` running, or REDIS_URL right?") from None

    def _policies(self, policy: str | None) -> list[str]:
        try:
            return [keys.find_policy(policy).name] if policy else []
        except keys.SettingError as error:
            raise CommandError(str(error), returncode=2) from None

    def _streams(self, *kinds: str) -> list[str]:
        """Return the streams of all policies; while the database is unavailable, of the last known policies."""
        if not self.policy:
            try:
                self.known = list(PolicyStore.objects.order_by("name").values_list("name", flat=True))
            except DatabaseError:
                connection.close()
        return names.streams(self.known, kinds)

    def _print_stored(self) -> dict[str, str]:
        """Print all stored entries and return the id of the last one of each stream."""
        entries = [
            (entry_id, stream, fields)
            for stream in self._streams(*names.EVENT_KINDS)
            for entry_id, fields in stored(stream)
        ]
        for _, _, fields in sorted(entries, key=lambda entry: [int(part) for part in entry[0].split("-")]):
            self._print(fields)
        return {stream: entry_id for entry_id, stream, _ in entries}

    def _follow(self) -> None:
        with Signals() as signals:
            last = self._print_stored()
            while not signals.received:
                # The stream of a new policy is read from its start.
                streams = {stream: last.get(stream, "0") for stream in self._streams(*WITH_PROGRESS)}
                if not streams:
                    signals.wait(RETRY_SECONDS)
                    continue
                for stream, entries in read(streams, BLOCK_MILLISECONDS).items():
                    for entry_id, fields in entries:
                        self._print(fields)
                        last[stream] = entry_id

    def _consume(self, consumer: Consumer) -> None:
        # A wrong REDIS_URL ends the command at once; a Redis that goes away later does not.
        redis_client().ping()
        away = False
        with Signals() as signals:
            while not signals.received:
                try:
                    streams = self._streams(*names.EVENT_KINDS)
                    # All delivered entries are acknowledged before the command ends, or others would wait for them.
                    for stream, entry_id, fields in consumer.read(streams):
                        self._print(fields)
                        consumer.acknowledge(stream, entry_id)
                    away = False
                except (redis.ConnectionError, redis.TimeoutError) as error:
                    if not away:
                        self.stderr.write(f"Redis is away, waiting for it: {error}")
                    away = True
                if away or not streams:
                    signals.wait(RETRY_SECONDS)

    def _print(self, fields: dict[str, str]) -> None:
        """Print an entry, and flush it, so that it may be acknowledged."""
        self.stdout.write(json.dumps({**fields, "payload": json.loads(fields["payload"])}))
        self.stdout.flush()
