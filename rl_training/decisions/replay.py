"""Replay of an arm: computes its decisions and its account again from the stored bars and deployments."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rl_training.core.config import EnvironmentConfig
from rl_training.core.deciding.decision import NEW_ACCOUNT, AccountState, next_state
from rl_training.core.market.bars import MarketDataError
from rl_training.decisions import bars
from rl_training.decisions.choosing import Seen, choose
from rl_training.decisions.deciding import state_of
from rl_training.decisions.networks import NetworkError
from rl_training.models import Arm, Decision, MarketBar, PolicyVersion

# Decisions that are replayed from one read of the bars.
BATCH = 500


@dataclass(frozen=True)
class Replayed:
    """The result of a replay: the number of compared decisions, and the first difference, empty if all are equal."""

    decisions: int
    difference: str = ""


def replay(arm: Arm) -> Replayed:
    """Decide again at every bar of the arm, and compare each decision and the account with the stored rows.

    The environment's accounting alone carries the account from bar to bar, and only the version comes from the rows. So
    the comparison finds a changed row, a missing or doubled decision, and changed weights.
    """
    compared, state = 0, NEW_ACCOUNT
    last: Decision | None = None
    costs = EnvironmentConfig.model_validate(arm.rules)
    for rows in _batches(arm):
        seen = Seen(arm.market, bars.rows_up_to(arm.market_id, rows[-1].bar_opened_at, len(rows)))
        for row in rows:
            difference = _skipped(arm, last, row)
            if last is not None:
                state = next_state(state, last.target_position, bars.as_market([row.bar]), costs)
            difference = difference or _differs(arm, row, seen, state, costs)
            if difference:
                return Replayed(compared, f"{row.bar_opened_at:%Y-%m-%d %H:%M:%S}: {difference}")
            compared, last = compared + 1, row
    return Replayed(compared)


def _batches(arm: Arm) -> Iterator[list[Decision]]:
    decisions = Decision.objects.filter(policy=arm.policy_id, arm=arm).order_by("bar_opened_at")
    related = decisions.select_related("bar", "version", "deployment__version")
    related = related.defer("version__evaluation", "deployment__version__evaluation")
    found = related.iterator(BATCH)
    while rows := list(islice(found, BATCH)):
        yield rows


def _skipped(arm: Arm, last: Decision | None, row: Decision) -> str:
    """Return why the row does not follow the row before; empty if it does."""
    if row.bar.opened_at != row.bar_opened_at or row.bar.revision or row.bar.market_id != arm.market_id:
        return "the decision names another bar"
    if last is None:
        return ""
    between = MarketBar.objects.filter(market=arm.market_id, revision=0, opened_at__gt=last.bar_opened_at)
    skipped = between.filter(opened_at__lt=row.bar_opened_at).count()
    return f"bars before it without a decision: {skipped}" if skipped else ""


def _version(arm: Arm, row: Decision) -> PolicyVersion | None:
    """Return the version that decides: of the row's deployment, of the arm, or for `newest` of the row itself."""
    if arm.kind == Arm.Kind.LIVE:
        return row.deployment.version if row.deployment else None
    return row.version if arm.kind == Arm.Kind.NEWEST else arm.version


def _differs(arm: Arm, row: Decision, seen: Seen, state: AccountState, costs: EnvironmentConfig) -> str:
    if state_of(row) != state:
        return f"the account is {state_of(row)}, its replay {state}"
    try:
        chosen = choose(arm, _version(arm, row), seen.by(row.bar), state, costs)
    except (NetworkError, MarketDataError) as error:
        return str(error)
    found: dict[str, Any] = {
        "target_position": chosen.target,
        "bars_digest": chosen.bars_digest,
        "version_id": chosen.version.pk if chosen.version else None,
        "weights_sha256": chosen.network.digest if chosen.network else "",
        "probabilities": chosen.probabilities,
        "value": chosen.value,
        "observation_sha256": chosen.observation_sha256,
    }
    differing = [name for name, value in found.items() if getattr(row, name) != value]
    if bytes(row.observation) != chosen.observation:
        differing.append("observation")
    return f"{', '.join(differing)} differ" if differing else ""
