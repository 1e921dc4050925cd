import argparse
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pydantic
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from quantum_trader.running.supervisor import Signals
from rl_training.core.config import MOST_OWN_COLUMNS
from rl_training.core.config_problems import find_problems, format_problems
from rl_training.core.deciding.market_replay import bar_seconds, header, replayed
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.sources import load_market
from rl_training.core.market_config import MarketConfig
from rl_training.management.arguments import number_option

WRONG_USAGE = 2
MOST_BARS = 1_000_000_000


def positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value


class Command(BaseCommand):
    help = (
        "Append the bars of one market file to another as time passes, as if they closed now. Timestamps begin anew, "
        "and bars are SPEED times shorter: hourly bars at 1800 close every 2 seconds. Ends with the last bar or Ctrl-C."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", help="a market file under MARKET_DATA_ROOT; a planted market with `planted`")
        parser.add_argument(
            "--speed", type=positive, default=1.0, help="how many times faster than the original market (default: 1)"
        )
        parser.add_argument("--to", default="replayed.csv", metavar="FILE", help="the new file (default: replayed.csv)")
        parser.add_argument(
            "--history",
            type=number_option(1, MOST_BARS),
            default=2000,
            metavar="BARS",
            help="bars that are written at the start (default: 2000)",
        )
        parser.add_argument(
            "--bars", type=number_option(0, MOST_BARS), metavar="BARS", help="stop after this number of new bars"
        )

    def handle(self, *, file: str, speed: float, to: str, history: int, bars: int | None, **_: Any) -> None:
        try:
            config = MarketConfig(source="planted") if file == "planted" else MarketConfig(source="file", path=file)
            market = load_market(config, root=settings.MARKET_DATA_ROOT, survey=True)
            further = market.reading.further if market.reading else {}
            if columns := [name for name, problem in further.items() if not problem][:MOST_OWN_COLUMNS]:
                market = load_market(config, root=settings.MARKET_DATA_ROOT, columns=columns)
        except pydantic.ValidationError as error:
            raise CommandError(format_problems(find_problems(error)), returncode=WRONG_USAGE) from None
        except MarketDataError as error:
            raise CommandError(str(error), returncode=WRONG_USAGE) from None
        target = settings.MARKET_DATA_ROOT / to
        if not target.resolve().is_relative_to(settings.MARKET_DATA_ROOT.resolve()) or target.exists():
            raise CommandError(f"{to} is no new file under MARKET_DATA_ROOT", returncode=WRONG_USAGE)
        if history >= len(market):
            most = f"--history must be 1 to {len(market) - 1:,}: {file} has one bar more"
            raise CommandError(most, returncode=WRONG_USAGE)
        seconds = bar_seconds(market, speed)
        self.stdout.write(f"Appending to {to} a bar each {seconds} s")
        self.stdout.flush()
        with Signals() as signals:
            lines = replayed(market, seconds, history, datetime.now(UTC))
            append(target, header(market) + "".join(line.text for line in islice(lines, history)))
            for line in islice(lines, bars):
                while (wait := (line.closes_at - datetime.now(UTC)).total_seconds()) > 0 and not signals.received:
                    signals.wait(wait)
                if signals.received:
                    break
                append(target, line.text)


def append(file: Path, text: str) -> None:
    """Append complete lines to the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as target:
        target.write(text)
