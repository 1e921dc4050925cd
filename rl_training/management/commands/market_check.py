import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from quantum_trader.logs import escape_control_characters
from rl_training.core.config import EnvironmentConfig
from rl_training.core.config_problems import find_problems, format_problems
from rl_training.core.market.checking import check_market
from rl_training.core.market_config import FILE_FIELDS, MarketConfig
from rl_training.market_checks import value_of
from rl_training.models import InvalidConfig, PolicyStore
from rl_training.trainable import insufficient

NOT_USABLE, WRONG_USAGE = 1, 2


def setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or name not in FILE_FIELDS:
        raise argparse.ArgumentTypeError(f"{text!r} is not SETTING=VALUE with a setting of {', '.join(FILE_FIELDS)}")
    return name, value_of(name, value)


class Command(BaseCommand):
    help = (
        "Show how a price file, or the market of a policy, is read: layout, columns, time zone, bars, repairs, drops "
        "and suspicions. A policy's market is usable if its runs can train on it. "
        "Exit status: 0 usable, 1 not usable, 2 wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "market", metavar="PATH|POLICY", help="a policy, or the path of a file, which may start in MARKET_DATA_ROOT"
        )
        # Not named `settings`, because manage.py reads its option --settings from that name.
        parser.add_argument("chosen", nargs="*", type=setting, metavar="SETTING=VALUE", help="such as timezone=UTC")
        parser.add_argument("--json", action="store_true", help="print a JSON object")

    def handle(self, *, market: str, chosen: list[tuple[str, Any]], **options: Any) -> None:
        try:
            config, root, environment = self._find(market)
            config = MarketConfig.model_validate(config.model_dump() | dict(chosen))
        except pydantic.ValidationError as error:
            raise CommandError(format_problems(find_problems(error)), returncode=WRONG_USAGE) from None
        check = check_market(config, root, environment.own_columns if environment else ())
        if check.usable and environment and (lacking := insufficient(config, environment)):
            check = replace(check, problem=format_problems(lacking))
        if options["json"]:
            self.stdout.write(json.dumps(check.as_json()))
        else:
            for line in check.lines():
                self.stdout.write(escape_control_characters(line))
        if not check.usable:
            sys.exit(NOT_USABLE)

    def _find(self, name: str) -> tuple[MarketConfig, Path, EnvironmentConfig | None]:
        """Return the market of the policy or file with this name, its root folder, and the policy's environment."""
        # A file such as prices.csv cannot be a policy's name, and must be checkable before there is a database.
        policy = PolicyStore.objects.filter(name=name).first() if name.isidentifier() else None
        if policy is not None:
            if isinstance(policy.market, InvalidConfig):
                problems = format_problems(policy.market.problems)
                raise CommandError(f"{name}: the stored market is invalid: {problems}", returncode=WRONG_USAGE)
            environment = policy.environment if isinstance(policy.environment, EnvironmentConfig) else None
            return policy.market, settings.MARKET_DATA_ROOT, environment
        given = Path(name)
        if given.is_absolute() or (given.exists() and not (settings.MARKET_DATA_ROOT / given).exists()):
            return MarketConfig(source="file", path=given.name), given.absolute().parent, None
        return MarketConfig(source="file", path=name), settings.MARKET_DATA_ROOT, None
