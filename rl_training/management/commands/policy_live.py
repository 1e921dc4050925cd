import argparse
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from quantum_trader.logs import escape_control_characters
from rl_training.management.live_versions import as_json, find_policy
from rl_training.versions import live


def time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time, such as 2026-05-03T12:00 (UTC)") from None


class Command(BaseCommand):
    help = "Show which version of a policy is live, or was live at a time: since when, by whom and why."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("--at", type=time, metavar="TIME", help="ISO 8601; UTC without an offset; default: now")
        parser.add_argument(
            "--json", action="store_true", help="print a JSON object; `version` is null while nothing is live"
        )

    def handle(self, *, name: str, at: datetime | None, **options: Any) -> None:
        policy = find_policy(name)
        found = live.live_at(policy.pk, at) if at else live.live_now(policy.pk)
        if options["json"]:
            self.stdout.write(as_json(policy, found))
        else:
            self.stdout.write(escape_control_characters(live.sentence(found)))
