import argparse
from typing import Any

from django.core.management.base import BaseCommand

from rl_training.management.live_versions import EXIT_STATUS, find_policy, find_version, request
from rl_training.versions.changes import Action, Change


class Command(BaseCommand):
    help = (
        "Make the last earlier target live again that differs from the present one: a version, or flat. "
        f"Automatic promotions do not replace it until policy_unpin. {EXIT_STATUS}"
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("--reason", required=True, help="the reason, which is kept for good")
        parser.add_argument("--to", metavar="VERSION", help="go back to this version, which must have been live before")

    def handle(self, *, name: str, reason: str, to: str | None, **_: Any) -> None:
        policy = find_policy(name)
        version = None if to is None else find_version(policy, to)
        request(policy, Change(Action.ROLL_BACK, reason, version), self.stdout)
