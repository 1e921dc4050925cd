import argparse
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from rl_training.accounts import tokens


class Command(BaseCommand):
    help = "Create an API token for a user and print it. Only its digest is stored, so it cannot be printed again."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("user")
        parser.add_argument("name", help="the machine or program that uses the token")
        parser.add_argument(
            "--days", type=int, default=tokens.DEFAULT_DAYS, help="days until the token expires (default: 365)"
        )

    def handle(self, *, user: str, name: str, days: int, **_: Any) -> None:
        if not 1 <= days <= tokens.MOST_DAYS:
            raise CommandError(f"--days must be a number from 1 to {tokens.MOST_DAYS}.")
        found = get_user_model().objects.filter(username=user).first()
        if found is None:
            raise CommandError(f"There is no user {user!r}.")
        try:
            # Users who run commands on this machine need no second factor.
            made = tokens.create(found, name, days, second_factor=True)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        self.stdout.write(made[1])
