"""The choice of an arm on a bar, by the network of a version or by a rule. Replays use the same functions."""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding import decision as core
from rl_training.core.deciding.network import Network
from rl_training.core.market.bars import MarketData
from rl_training.decisions.bars import as_market, latest
from rl_training.decisions.networks import network_of
from rl_training.models import Arm, Decision, FollowedMarket, MarketBar, PolicyVersion

# The number of latest bars that an arm without a network sees.
RULE_BARS = 21


@dataclass(frozen=True)
class Chosen:
    """A target position and the data from which the arm chose it; a rule has no network."""

    target: float
    bars_digest: str
    version: PolicyVersion | None = None
    network: Network | None = None
    choice: core.Choice | None = None

    @property
    def probabilities(self) -> list[float] | None:
        """The probabilities; None if one of them is not finite, because JSON cannot hold such a number."""
        if self.choice is None or not all(map(math.isfinite, self.choice.probabilities)):
            return None
        return list(self.choice.probabilities)

    @property
    def value(self) -> float | None:
        return self.choice.value if self.choice and math.isfinite(self.choice.value) else None

    @property
    def observation(self) -> bytes:
        return b"" if self.choice is None else self.choice.observation.astype("<f4").tobytes()

    @property
    def observation_sha256(self) -> str:
        return hashlib.sha256(self.observation).hexdigest() if self.choice else ""


@dataclass
class Window:
    """The bars up to a bar that were known when this bar came, in time order; `columns` names their further columns."""

    rows: list[MarketBar]
    columns: Sequence[str] = ()
    _made: dict[int, tuple[MarketData, str]] = field(default_factory=dict)

    def last(self, count: int) -> tuple[MarketData, str]:
        """Return the last `count` bars, or all if there are fewer, and their digest."""
        if count not in self._made:
            market = as_market(self.rows[-count:], self.columns)
            self._made[count] = market, market.digest
        return self._made[count]


class Seen:
    """The bars of a market as they were known at each of several bars. `rows` are in the order of time and revision."""

    def __init__(self, market: FollowedMarket, rows: Sequence[MarketBar]) -> None:
        self._rows, self._columns = rows, market.columns
        self._windows: dict[int, Window] = {}

    def by(self, bar: MarketBar) -> Window:
        if bar.pk not in self._windows:
            known = latest(self._rows, until=bar.pk)
            self._windows[bar.pk] = Window(
                [row for row in known.values() if row.opened_at <= bar.opened_at], self._columns
            )
        return self._windows[bar.pk]

    def changes_before(self, bar: MarketBar, last: Decision | None) -> Counter[str]:
        """Count the earlier bars that changed between the bar of the last decision and this bar, by what they did."""
        if last is None:
            return Counter()
        stored = [row for row in self._rows if row.revision and last.bar_id < row.pk < bar.pk]
        return Counter(map(self._change, stored))

    def _change(self, changed: MarketBar) -> str:
        if changed.removed:
            return "disappeared from the source"
        # A bar that came in the order of time has a row without a revision.
        known = any(row.opened_at == changed.opened_at and row.revision < changed.revision for row in self._rows)
        return "changed at the source" if known else "came late"


def choose(
    arm: Arm, version: PolicyVersion | None, window: Window, state: core.AccountState, costs: EnvironmentConfig
) -> Chosen:
    """Return the choice at the close of the window's last bar, by the arm's rule or by the network of `version`.

    Without a version the arm chooses flat. A network whose probabilities are not finite chooses flat. Raises
    `NetworkError` if the version cannot be read, and `MarketDataError` if there are too few bars.
    """
    if not arm.has_network:
        market, digest = window.last(RULE_BARS)
        return Chosen(core.follow_rule(arm.kind, market, costs), digest)
    if version is None:
        return Chosen(0.0, window.last(RULE_BARS)[1])
    network = network_of(version)
    market, digest = window.last(core.bars_needed(network.environment))
    choice = core.choose(network, market, state)
    finite = all(map(math.isfinite, choice.probabilities))
    return Chosen(choice.target if finite else 0.0, digest, version, network, choice)
