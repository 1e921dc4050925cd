"""The paper accounts of a policy: what each arm has earned so far."""

from dataclasses import dataclass
from typing import Any

from quantum_trader.timestamps import utc_text
from rl_training.models import Arm, Decision, PolicyStore


@dataclass(frozen=True)
class PaperAccount:
    """An arm, and its newest decision; None before the first one."""

    arm: Arm
    newest: Decision | None

    @property
    def total_return(self) -> float | None:
        """The return from the opening of the account to the close of its newest bar."""
        return self.newest.equity - 1.0 if self.newest else None

    @property
    def drawdown(self) -> float | None:
        return 1.0 - self.newest.equity / self.newest.peak if self.newest else None

    def as_dict(self) -> dict[str, Any]:
        """Return the account as JSON values."""
        arm, newest = self.arm, self.newest
        return {
            "account": arm.pk,
            "arm": arm.kind,
            "name": arm.name,
            "market": arm.market.label,
            "opened_at": utc_text(arm.opened_at),
            "opening": arm.opening,
            "ended_at": utc_text(arm.ended_at) if arm.ended_at else None,
            "ending": arm.ending,
            "error": arm.error,
            "bar_closed_at": utc_text(newest.bar_closed_at) if newest else None,
            "equity": newest.equity if newest else None,
            "total_return": self.total_return,
            "drawdown": self.drawdown,
            "target_position": newest.target_position if newest else None,
        }


def accounts_of(policy: PolicyStore, *, ended: bool = True) -> list[PaperAccount]:
    """Return the accounts of a policy: open accounts first, and among them the live version's account first."""
    arms = Arm.objects.filter(policy=policy).shown()
    found = list(arms if ended else arms.open())
    newest = Decision.objects.select_related("version").defer("version__evaluation")
    decisions = newest.newest_of([arm.pk for arm in found])
    found.sort(key=_place)
    return [PaperAccount(arm, decisions.get(arm.pk)) for arm in found]


def _place(arm: Arm) -> tuple[Any, ...]:
    kind = list(Arm.Kind).index(Arm.Kind(arm.kind))
    return (False, kind, arm.pk) if arm.ended_at is None else (True, -arm.opened_at.timestamp(), kind, arm.pk)
