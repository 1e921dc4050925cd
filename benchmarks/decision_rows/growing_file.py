"""A market file to which this process appends bars, and the decisions of the deciding process on them."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.market_replay import header, replayed
from rl_training.core.market_config import MarketConfig
from rl_training.models import Decision, PolicyStore, PolicyVersion
from tests.stored import deploy, finished_run
from tests.trading_cases import random_market
from tests.waiting import wait_for
from tests.weights import ENVIRONMENT, stored_version

HISTORY = 150
BARS = 5_000


class GrowingFile:
    """A file with a bar every few seconds; the bars of its history have closed."""

    def __init__(self, root: Path, name: str, seed: int = 1, seconds: int = 1) -> None:
        self.name, self.file, self.seconds = name, root / name, seconds
        root.mkdir(parents=True, exist_ok=True)
        market = random_market(BARS, seed, 0.02)
        self._lines = replayed(market, seconds, HISTORY, datetime.now(UTC))
        self.file.write_text(header(market) + "".join(next(self._lines).text for _ in range(HISTORY)))

    def append(self) -> tuple[datetime, float]:
        """Wait for the close of the next bar, append the bar, and return the times of its open and of its append."""
        line = next(self._lines)
        while (wait := (line.closes_at - datetime.now(UTC)).total_seconds()) > 0:
            time.sleep(wait)
        with self.file.open("a") as file:
            file.write(line.text)
        return line.closes_at - timedelta(seconds=self.seconds), time.time()

    def catch_up(self) -> datetime:
        """Append all bars that have closed, and return the time when the last one opened."""
        opened, _ = self.append()
        while opened + timedelta(seconds=2 * self.seconds) < datetime.now(UTC):
            opened, _ = self.append()
        return opened


def follow(policy: PolicyStore, file: GrowingFile, weights: PolicyVersion | None = None) -> PolicyVersion:
    """Point the policy at the file, make version 1 live, by default with new weights, and return it."""
    policy.market = MarketConfig(source="file", path=file.name)
    policy.environment = EnvironmentConfig(features=list(ENVIRONMENT.features))
    # The weights are random, so their account may lose any part of its equity.
    policy.drawdown_limit = 100
    policy.save_settings()
    version = stored_version(policy, 1) if weights is None else with_weights(policy, weights)
    deploy(version)  # type: ignore[no-untyped-call]
    return version


def with_weights(policy: PolicyStore, weights: PolicyVersion) -> PolicyVersion:
    """Return a stored version 1 of the policy with the files of another version."""
    run = finished_run(policy, config=weights.run.config)  # type: ignore[no-untyped-call]
    files = {"artifact": weights.artifact, "sha256": weights.sha256}
    return PolicyVersion.objects.create(policy=policy, number=1, run=run, evaluation={}, **files)


def wait_for_decisions(opened_at: datetime, policies: int, seconds: float = 120) -> None:
    """Return the time when the live arms of all policies have decided on the bar."""
    made = Decision.objects.filter(bar_opened_at=opened_at, arm__kind="live")
    wait_for(lambda: made.count() >= policies, f"decisions of {policies} policies", seconds)
