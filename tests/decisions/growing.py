"""A market file that grows bar by bar, and the rounds of a deciding process on it."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.market.bars import COLUMNS, MarketData
from rl_training.core.market_config import MarketConfig
from rl_training.decisions.process.rounds import Rounds
from rl_training.decisions.replay import replay
from rl_training.models import Arm, Decision, FollowedMarket, PolicyStore
from tests.trading_cases import random_market

HOUR = timedelta(hours=1)
BARS = random_market(400, 11, 0.02)
HISTORY = 120
COSTS = {"features": ["log_return_1"], "fee": 0.0005}


def set_up(policy: PolicyStore, path: str = "growing.csv") -> None:
    """Point the policy at the file, with few features and without a limit of the drawdown."""
    policy.market = MarketConfig(source="file", path=path)
    policy.environment = EnvironmentConfig.model_validate(COSTS)
    policy.drawdown_limit = 100
    policy.save_settings()


class Growing:
    """The file, and a clock that shows the close of its last bar."""

    def __init__(self, root: Path, path: str = "growing.csv", market: MarketData = BARS) -> None:
        self.file = root / path
        root.mkdir(parents=True, exist_ok=True)
        self.market = market
        self.rounds = Rounds()
        self.shown = 0
        self.now = datetime.now(UTC)
        self.file.write_text(self.header)
        self.append(HISTORY)

    @property
    def header(self) -> str:
        return ",".join([*COLUMNS, *self.market.own]) + "\n"

    def line(self, bar: int, **changes: Any) -> str:
        values = {name: getattr(self.market, name)[bar] for name in COLUMNS}
        values |= {name: column[bar] for name, column in self.market.own.items()} | changes
        time = str(values.pop("timestamp"))
        return ",".join([time, *(repr(float(value)) for value in values.values())]) + "\n"

    def closes(self, bar: int) -> datetime:
        opened = self.market.timestamp[bar].astype(np.int64)
        return datetime.fromtimestamp(int(opened), UTC) + HOUR

    def append(self, count: int = 1) -> None:
        """Append the next bars, and set the clock to the close of the last one."""
        with self.file.open("a") as file:
            file.writelines(self.line(bar) for bar in range(self.shown, self.shown + count))
        self.shown += count
        self.now = self.closes(self.shown - 1)

    def skip(self, count: int = 1) -> None:
        """Skip bars; the file never gets them."""
        self.shown += count

    def rewrite(self, lines: Iterable[str]) -> None:
        self.file.write_text(self.header + "".join(lines))

    def round(self, **late: float) -> int:
        """Do a round at the clock's time, or a given time later."""
        now = self.now + timedelta(**late)
        self.rounds.settle(now)
        return sum(
            self.rounds.advance(market.pk, now) or 0
            for market in FollowedMarket.objects.filter(label__startswith=self.file.name)
        )

    def grow(self, bars: int = 1) -> None:
        """Append bars one by one, with a round after each bar."""
        for _ in range(bars):
            self.append()
            self.round()


def live_arm(policy: PolicyStore) -> Arm:
    return Arm.objects.get(policy=policy, kind="live", ended_at=None)


def decisions(arm: Arm) -> list[Decision]:
    return list(arm.decisions.order_by("bar_opened_at").select_related("version", "bar"))


def assert_replays(policy: PolicyStore) -> None:
    """Fail unless every arm of the policy equals its replay, and has decisions."""
    for arm in Arm.objects.filter(policy=policy):
        found = replay(arm)
        assert (found.difference, found.decisions) == ("", arm.decisions.count())


def closing(last: datetime, market: MarketData = BARS) -> MarketData:
    """Return the market with moved timestamps, so that the last bar of the history closes at `last`."""
    opened = np.datetime64(int(last.timestamp()) - 3600, "s")
    return MarketData(
        market.timestamp + (opened - market.timestamp[HISTORY - 1]), *(getattr(market, name) for name in COLUMNS[1:])
    )
