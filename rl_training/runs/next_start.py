"""The start of a policy's next run: the newest version's weights, or scratch, with the reasons."""

from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from rl_training.core.config import TrainingConfig
from rl_training.core.market.bars import training_bars
from rl_training.core.run.form import differing, form_of
from rl_training.models import InvalidConfigError, PolicyStore


@dataclass(frozen=True)
class NextStart:
    """The version whose weights the next run finds, and the reasons for which it cannot use them.

    `old_market` and `new_market` are set when the policy's market differs from the market of the version's run.
    """

    version: int
    reasons: list[str] = field(default_factory=list)
    old_market: str = ""
    new_market: str = ""

    @property
    def from_scratch(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        if self.from_scratch:
            why = " and ".join([", ".join(self.reasons[:-1]), self.reasons[-1]] if self.reasons[1:] else self.reasons)
            return f"The next run starts from scratch and does not use the weights of version {self.version}: {why}."
        if self.new_market:
            return (
                f"The next run continues from version {self.version}, which was trained on {self.old_market}, on "
                f"{self.new_market}. It starts from scratch if that version was trained on bars as late as the first "
                "bar that it is evaluated on."
            )
        return f"The next run continues from version {self.version}."


def next_start(policy: PolicyStore) -> NextStart | None:
    """Return what the next scheduled run starts from under the settings of `policy`, saved or not.

    Returns None when the policy has no version, or when the settings of the policy or of the version's run are invalid.
    The rule is the same as in `core.run.requirements.check_fits`, but the bars of a new market are not read here.
    """
    newest = policy.versions.order_by("-number").values("number", "run__config", "run__market_summary").first()
    if newest is None or not newest["run__config"]:
        return None
    try:
        now, was = policy.training_config(episodes=1), TrainingConfig.model_validate(newest["run__config"])
    except (InvalidConfigError, ValidationError):
        return None
    changed = differing(form_of(was.environment, was.ppo), form_of(now.environment, now.ppo))
    reasons = [f"{name} changed" for name in changed]
    if was.market.model_copy(update={"train_fraction": now.market.train_fraction}) != now.market:
        return NextStart(newest["number"], reasons, was.market.label, now.market.label)
    bars = _bars(newest["run__market_summary"])
    if training_bars(bars, now.market.train_fraction) < training_bars(bars, was.market.train_fraction):
        reasons.append("train_fraction is lower, so bars that the version was trained on would be evaluated")
    return NextStart(newest["number"], reasons)


def _bars(market_summary: Any) -> int:
    """Return how many bars a run read, or, when unknown, a number so large that any lower train_fraction drops bars."""
    bars = market_summary.get("bars") if isinstance(market_summary, dict) else None
    return bars if isinstance(bars, int) else 10**9
