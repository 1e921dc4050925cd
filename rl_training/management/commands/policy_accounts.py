import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from quantum_trader.logs import escape_control_characters
from rl_training.decisions.accounts import PaperAccount, accounts_of
from rl_training.decisions.replay import replay
from rl_training.management.live_versions import find_policy

DIFFERS = 1


class Command(BaseCommand):
    help = (
        "Show the paper accounts of a policy. With --replay each account is decided and traded again from the stored "
        "bars and compared to the bit. Exit status: 0 done, 1 an account differs from its replay, 2 wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("--replay", action="store_true", help="compare each account with its replay")
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def handle(self, *, name: str, **options: Any) -> None:
        differences = 0
        for account in accounts_of(find_policy(name)):
            described = account.as_dict()
            if options["replay"]:
                found = replay(account.arm)
                differences += bool(found.difference)
                described |= {"replayed": found.decisions, "difference": found.difference}
            line = json.dumps(described) if options["json"] else escape_control_characters(text_of(account, described))
            self.stdout.write(line)
        if differences:
            raise CommandError(f"{differences} accounts differ from their replay", returncode=DIFFERS)


def text_of(account: PaperAccount, described: dict[str, Any]) -> str:
    """Return the account as a line for users."""
    newest = account.newest
    state = "no decision yet" if newest is None else f"{newest.equity - 1:+.2%}, target {newest.target_position:g}"
    when = "" if newest is None else f", at {newest.bar_closed_at:%Y-%m-%d %H:%M:%S} UTC"
    ended = f", ended: {account.arm.ending}" if account.arm.ended_at else ""
    line = f"{account.arm.get_kind_display()} on {account.arm.market}: {state}{when}{ended}"
    if "replayed" not in described:
        return line
    result = described["difference"] or f"equals its replay of {described['replayed']:,} decisions"
    return f"{line}; {result}"
