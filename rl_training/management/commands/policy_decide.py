import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from pydantic import ValidationError

from quantum_trader.logs import escape_control_characters
from rl_training.core.config_problems import find_problems, format_problems
from rl_training.decisions.answers import NoDecisionError, current
from rl_training.decisions.asked_account import AskedAccount
from rl_training.decisions.asking import decide_for
from rl_training.decisions.networks import NetworkError
from rl_training.decisions.payloads import payload
from rl_training.management.arguments import accept_negative_numbers
from rl_training.management.live_versions import find_policy

NO_DECISION, WRONG_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Print as JSON the decision of a policy's live version on the newest bar, or its decision for an account. "
        "Exit status: 0 a decision, 1 no decision is valid now (the message says why), 2 wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        accept_negative_numbers(parser)
        parser.add_argument("name", help="the policy")
        parser.add_argument(
            "--account",
            nargs=3,
            type=float,
            metavar=("POSITION", "LOG_RETURN", "DRAWDOWN"),
            help="decide for this account: units x price / equity, unrealised log return, drawdown (0 to 1)",
        )

    def handle(self, *, name: str, account: list[float] | None, **_: Any) -> None:
        policy, clock = find_policy(name), timezone.now
        asked = _asked(account) if account else None
        try:
            found = decide_for(policy, asked, clock) if asked else payload(current(policy, clock).decision)
        except NoDecisionError as error:
            raise CommandError(escape_control_characters(f"{error.reason}: {error}"), returncode=NO_DECISION) from None
        except NetworkError as error:
            raise CommandError(escape_control_characters(str(error)), returncode=NO_DECISION) from None
        self.stdout.write(json.dumps(found))


def _asked(values: list[float]) -> AskedAccount:
    """Return the account with these values, or raise `CommandError` that names the one that is not possible."""
    try:
        return AskedAccount(**dict(zip(AskedAccount.model_fields, values, strict=True)))
    except ValidationError as error:
        raise CommandError(f"--account: {format_problems(find_problems(error))}", returncode=WRONG_USAGE) from None
