import argparse
from typing import Any

from django.core.management.base import BaseCommand

from rl_training.management.live_versions import EXIT_STATUS, find_policy, request
from rl_training.versions.changes import Action, Change


class Command(BaseCommand):
    help = f"Let automatic promotions of a policy resume after a pin, a rollback or flat. {EXIT_STATUS}"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("--reason", required=True, help="the reason, which is kept for good")

    def handle(self, *, name: str, reason: str, **_: Any) -> None:
        request(find_policy(name), Change(Action.UNPIN, reason), self.stdout)
