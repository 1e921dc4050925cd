import argparse
import socket
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from rl_training.presence import heartbeats


class Command(BaseCommand):
    help = "Exit 0 if a process of this kind writes heartbeats on this machine or in this container, else 1."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("kind", choices=heartbeats.SILENT_AFTER_SECONDS)

    def handle(self, *, kind: heartbeats.Kind, **_: Any) -> None:
        try:
            ages = heartbeats.ages(kind)
        except redis.RedisError as error:
            raise CommandError(f"Redis, which keeps the heartbeats, does not answer: {error}") from None
        here = [age for name, age in ages.items() if name.rpartition(":")[0] == socket.gethostname()]
        limit = heartbeats.SILENT_AFTER_SECONDS[kind]
        if not here or min(here) > limit:
            last = f"the last was {min(here):.0f} s ago" if here else "there was none in the last hour"
            raise CommandError(f"No heartbeat of a {kind} on {socket.gethostname()} within {limit:.0f} s: {last}.")
