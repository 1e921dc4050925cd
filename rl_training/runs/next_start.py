"""The start of a policy's next run: the weights that `start_from` names, or scratch, with the reasons."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django.db.models import OuterRef, Q, Subquery
from pydantic import ValidationError

from rl_training.core.config import TrainingConfig
from rl_training.core.market.bars import training_bars
from rl_training.core.run.form import differing, form_of
from rl_training.models import Deployment, InvalidConfigError, PolicyStore, PolicyVersion, StartFrom


@dataclass(frozen=True)
class NextStart:
    """The version from which the next run would start, and the reasons why the run cannot use its weights.

    `old_market` and `new_market` are set when the policy's market differs from the market of the version's run.
    """

    version: int
    reasons: list[str] = field(default_factory=list)
    old_market: str = ""
    new_market: str = ""

    @property
    def from_scratch(self) -> bool:
        return bool(self.reasons)

    @property
    def is_unusual(self) -> bool:
        """Whether the next run does not just continue; users who change settings then get a message."""
        return self.from_scratch or bool(self.new_market)

    def __str__(self) -> str:
        if self.from_scratch:
            why = " and ".join([", ".join(self.reasons[:-1]), self.reasons[-1]] if self.reasons[1:] else self.reasons)
            return f"The next run starts from scratch and does not use the weights of version {self.version}: {why}."
        if self.new_market:
            return (
                f"The next run continues from version {self.version}, which was trained on {self.old_market}, on "
                f"{self.new_market}. The run starts from scratch if that version was trained on bars as late as the "
                "run's first held-out bar."
            )
        return f"The next run continues from version {self.version}."


def default_start(policy: PolicyStore) -> PolicyVersion | None:
    """Return the version that the `start_from` of `policy`, saved or not, stands for; None for scratch."""
    return default_starts([policy]).get(policy.pk)


def default_starts(policies: Collection[PolicyStore]) -> dict[int, PolicyVersion]:
    """Return the version that each policy's `start_from`, saved or not, stands for, by the policy's id, in one query.

    Policies that start from scratch are left out.
    """
    newest, live = (
        [policy.pk for policy in policies if policy.start_from == start] for start in (StartFrom.NEWEST, StartFrom.LIVE)
    )
    if not newest and not live:
        return {}
    of_policy = PolicyVersion.objects.filter(policy=OuterRef("pk")).order_by("-number").values("pk")[:1]
    wanted = Q(pk__in=PolicyStore.objects.filter(pk__in=newest).values(newest=Subquery(of_policy)))
    of_live = Deployment.objects.filter(policy=OuterRef("pk")).order_by("-at").values("version")[:1]
    wanted |= Q(pk__in=PolicyStore.objects.filter(pk__in=live).values(live=Subquery(of_live)))
    versions = PolicyVersion.objects.filter(wanted).select_related("run").defer("evaluation")
    return {version.policy_id: version for version in versions}


def next_start(policy: PolicyStore) -> NextStart | None:
    """Return what the next scheduled run starts from under the settings of `policy`, saved or not.

    Returns None when the policy starts from scratch by its `start_from` or for lack of a version, and when the settings
    of the policy or of the version's run are invalid. The rule is the same as in `core.run.requirements.check_fits`,
    but the bars of a new market are not read here.
    """
    return next_starts([policy])[0]


def next_starts(policies: Collection[PolicyStore]) -> list[NextStart | None]:
    """Return the next start of each of several policies, in their order, in one query."""
    versions = default_starts(policies)
    return [_next_start(policy, versions.get(policy.pk)) for policy in policies]


def _next_start(policy: PolicyStore, version: PolicyVersion | None) -> NextStart | None:
    if version is None or not version.run.config:
        return None
    try:
        now, was = policy.training_config(episodes=1), TrainingConfig.model_validate(version.run.config)
    except (InvalidConfigError, ValidationError):
        return None
    changed = differing(form_of(was.environment, was.ppo), form_of(now.environment, now.ppo))
    reasons = [f"{name} changed" for name in changed]
    if was.market.model_copy(update={"train_fraction": now.market.train_fraction}) != now.market:
        return NextStart(version.number, reasons, was.market.label, now.market.label_beside(was.market))
    bars = _bars(version.run.market_summary)
    if training_bars(bars, now.market.train_fraction) < training_bars(bars, was.market.train_fraction):
        reasons.append("train_fraction is lower, so bars that the version was trained on would be evaluated")
    return NextStart(version.number, reasons)


def _bars(market_summary: Any) -> int:
    """Return how many bars a run read; if unknown, a number so large that any lower train_fraction drops bars."""
    bars = market_summary.get("bars") if isinstance(market_summary, dict) else None
    return bars if isinstance(bars, int) else 10**9
