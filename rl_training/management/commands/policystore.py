import argparse
import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from pydantic_core import to_jsonable_python

from rl_training import keys
from rl_training.models import PolicyStore

WRONG_USAGE = 2


class Command(BaseCommand):
    help = "Read and change settings by key, as rl_v3.training.interval_minutes. Exit status: 0 done, 2 refused."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("list", help="every key and its value")
        get = actions.add_parser("get", help="the value of one key, as JSON")
        get.add_argument("key")
        change = actions.add_parser("set", help="change the value of one key")
        change.add_argument("key")
        change.add_argument("value", help="as JSON; text may stand without quotes")

    def handle(self, *, action: str, key: str = "", value: str = "", **_: Any) -> None:
        try:
            if action == "list":
                for policy in PolicyStore.objects.all():
                    for name, current in keys.settings_of(policy):
                        self._print(name, current)
            elif action == "get":
                self.stdout.write(json.dumps(to_jsonable_python(keys.get(key))))
            else:
                self._print(key, keys.set_value(key, value))
        except keys.SettingError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None

    def _print(self, key: str, value: Any) -> None:
        self.stdout.write(f"{key} = {json.dumps(to_jsonable_python(value))}")
