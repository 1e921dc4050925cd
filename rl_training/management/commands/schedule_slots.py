import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from quantum_trader.logs import escape_control_characters
from quantum_trader.timestamps import utc_text
from rl_training import keys
from rl_training.management.arguments import number_option
from rl_training.models import SlotRange
from rl_training.schedule.ledger import COLUMNS, Passing, describe_range, passing_slots, words_for

DEFAULT_LIMIT = 50


class Command(BaseCommand):
    help = "Show the outcome of each slot of a policy (ran, coalesced or skipped), the latest slots first."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the policy")
        parser.add_argument(
            "--from", dest="after", type=instant, metavar="TIME", help="such as 2026-01-31 or 2026-01-31T12:00Z"
        )
        parser.add_argument("--to", dest="before", type=instant, metavar="TIME", help="before this time")
        parser.add_argument(
            "--limit",
            type=number_option(1, 100_000),
            default=DEFAULT_LIMIT,
            help=f"most ranges to show (default: {DEFAULT_LIMIT})",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *, name: str, after: datetime | None, before: datetime | None, limit: int, **options: Any) -> None:
        try:
            policy = keys.find_policy(name)
        except keys.SettingError as error:
            raise CommandError(str(error), returncode=2) from None
        # The undecided slots are read first: a slot that is decided in between is then shown twice rather than never.
        passing = passing_slots(policy, timezone.now())
        ranges = list(SlotRange.objects.filter(policy=policy).within(after, before).listed().values(*COLUMNS)[:limit])
        if options["json"]:
            shown = {"passing": described(passing), "slots": [describe_range(row) for row in ranges]}
            self.stdout.write(json.dumps(shown))
            return
        if passing:
            since = f" since {shown_time(passing.since)}" if passing.since else ""
            text = f"not decided yet: {passing.because.replace('_', ' ')}{since}"
            self.stdout.write(line(passing.first_slot, passing.last_slot, passing.slots, text))
        for row in ranges:
            self.stdout.write(
                escape_control_characters(line(row["first_slot"], row["last_slot"], row["slots"], words_for(row)))
            )
        if not ranges:
            self.stdout.write("The ledger has no such slots.")


def instant(text: str) -> datetime:
    """Return an ISO 8601 time; a time without an offset is in UTC."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 2026-01-31 or 2026-01-31T12:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def described(passing: Passing | None) -> dict[str, Any] | None:
    """Return the slots that are not decided yet as a JSON object."""
    if passing is None:
        return None
    return {name: utc_text(value) if isinstance(value, datetime) else value for name, value in asdict(passing).items()}


def shown_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def line(first: datetime, last: datetime, slots: int, text: str) -> str:
    span = shown_time(first) if slots == 1 else f"{shown_time(first)} to {shown_time(last)}, {slots:,} slots"
    return f"{span}: {text}"
