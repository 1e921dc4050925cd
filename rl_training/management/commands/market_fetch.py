import argparse
import sys
from typing import Any

import pydantic
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from rl_training.core.config_problems import find_problems, format_problems
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange import load_exchange
from rl_training.core.market_config import MarketConfig
from rl_training.core.words import count_of

FAILED, WRONG_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Fetch the newest bars of a crypto exchange into the cache, so that runs need not fetch them. Exit status: 0 "
        "fetched, 1 the exchange has fewer bars or does not answer, 2 wrong usage."
    )

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("exchange", help="the exchange's id in ccxt, such as kraken")
        parser.add_argument("symbol", help="such as BTC/USD")
        parser.add_argument("timeframe", help="such as 1h")
        parser.add_argument("bars", type=int, help="number of newest bars")

    def handle(self, *, exchange: str, symbol: str, timeframe: str, bars: int, **options: Any) -> None:
        try:
            config = MarketConfig(source="exchange", exchange=exchange, symbol=symbol, timeframe=timeframe, bars=bars)
        except pydantic.ValidationError as error:
            raise CommandError(format_problems(find_problems(error)), returncode=WRONG_USAGE) from None
        with tqdm(total=bars, unit="bar", desc=config.label, file=sys.stderr) as progress:
            try:
                market = load_exchange(
                    config, settings.MARKET_DATA_ROOT, on_bars=lambda kept: progress.update(kept - progress.n)
                )
            except MarketDataError as error:
                raise CommandError(str(error), returncode=FAILED) from None
            progress.update(bars - progress.n)
        first, last = (time.isoformat() for time in market.span)
        self.stdout.write(
            f"{config.label}: {count_of(len(market), 'bar')} cached, {first} to {last}, {market.gaps:,} missing."
        )
