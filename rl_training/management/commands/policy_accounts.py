import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from quantum_trader.logs import escape_control_characters
from rl_training.core.words import count_of
from rl_training.decisions import challengers
from rl_training.decisions.accounts import PaperAccount, accounts_of
from rl_training.decisions.challengers import ArmRefusedError
from rl_training.decisions.replay import replay
from rl_training.management.live_versions import find_policy
from rl_training.models import PolicyStore
from rl_training.versions.changes import command_author

DIFFERS = REFUSED = 1


class Command(BaseCommand):
    help = (
        "Show the paper accounts of a policy. With --replay each account is computed again from the stored bars and "
        "compared bit for bit. Exit status: 0 done, 1 an account differs from its replay or a change is refused, 2 "
        "wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="the policy")
        parser.add_argument("--replay", action="store_true", help="compare each account with its replay")
        change = parser.add_mutually_exclusive_group()
        change.add_argument(
            "--open", metavar="ARM", help=f"open this challenger, then show the accounts: {challengers.FORMS}"
        )
        change.add_argument("--end", metavar="ARM", help="end this challenger, then show the accounts")
        parser.add_argument("--json", action="store_true", help="print one JSON object a line")

    def handle(self, *, name: str, **options: Any) -> None:
        differences, policy = 0, find_policy(name)
        try:
            _change(policy, options["open"], options["end"])
        except ArmRefusedError as error:
            raise CommandError(escape_control_characters(str(error)), returncode=REFUSED) from None
        accounts = accounts_of(policy)
        if not accounts and not options["json"]:
            self.stdout.write(
                "There is no paper account: one opens when a version is first live on a market that grows."
            )
        for account in accounts:
            described = account.as_dict()
            if options["replay"]:
                found = replay(account.arm)
                differences += bool(found.difference)
                described |= {"replayed": found.decisions, "difference": found.difference}
            line = json.dumps(described) if options["json"] else escape_control_characters(text_of(account, described))
            self.stdout.write(line)
        if differences:
            raise CommandError(f"accounts that differ from their replay: {differences}", returncode=DIFFERS)


def _change(policy: PolicyStore, opened: str | None, ended: str | None) -> None:
    """Open or end a challenger. Raises `ArmRefusedError`."""
    by, now = command_author().name or "a command", timezone.now()
    if opened:
        challengers.open_arm(policy, opened, by=by, now=now)
    if ended:
        found = [account.arm for account in accounts_of(policy, ended=False) if account.arm.name == ended]
        if not found:
            raise ArmRefusedError(f"{policy} has no open arm {ended[:80]!r}.")
        challengers.end_arm(found[0], by=by, now=now)


def text_of(account: PaperAccount, described: dict[str, Any]) -> str:
    """Return the account as a line for users."""
    newest = account.newest
    state = "no decision yet" if newest is None else f"{newest.equity - 1:+.2%}, target {newest.target_position:g}"
    when = "" if newest is None else f", at {newest.bar_closed_at:%Y-%m-%d %H:%M:%S} UTC"
    ended = f", ended: {account.arm.ending}" if account.arm.ended_at else ""
    line = f"{account.arm.title} on {account.arm.market}: {state}{when}{ended}"
    if "replayed" not in described:
        return line
    result = described["difference"] or f"equals its replay of {count_of(described['replayed'], 'decision')}"
    return f"{line}; {result}"
