import argparse
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from rl_training.management.live_versions import (
    EXIT_STATUS,
    WRONG_USAGE,
    find_comparison,
    find_policy,
    find_version,
    request,
)
from rl_training.versions.changes import Action, Change

FLAT = "flat"


class Command(BaseCommand):
    help = (
        "Make a version of a policy live. With the word flat, no version is live: the policy stays flat until a "
        f"version is promoted or policy_unpin lets automatic promotions resume. {EXIT_STATUS}"
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("version", metavar="VERSION|flat", help="the version's number, or flat")
        parser.add_argument("--reason", required=True, help="the reason, which is kept for good")
        parser.add_argument("--comparison", metavar="ID", help="the comparison that is the evidence for the promotion")
        parser.add_argument(
            "--pin", action="store_true", help="keep the version live: automatic promotions do not replace it"
        )

    def handle(self, *, name: str, version: str, reason: str, pin: bool, comparison: str | None, **_: Any) -> None:
        policy = find_policy(name)
        evidence = find_comparison(comparison) if comparison else None
        if version == FLAT:
            if pin:
                raise CommandError("--pin goes with a version; flat needs no pin", returncode=WRONG_USAGE)
            request(policy, Change(Action.GO_FLAT, reason, comparison=evidence), self.stdout)
            return
        found = find_version(policy, version)
        action = Action.PIN if pin else Action.PROMOTE
        request(policy, Change(action, reason, found, comparison=evidence), self.stdout)
