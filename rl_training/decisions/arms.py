"""The arms of each policy: the live version and its references, on the policy's market under its trading costs.

Users may open further arms, the challengers; see challengers.py. They end for the same reasons, but do not open anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from rl_training.core.config import EnvironmentConfig
from rl_training.decisions.markets import follow, grows, identity, live_columns
from rl_training.models import Arm, Deployment, FollowedMarket, PolicyStore

# The settings of an environment that an account depends on.
RULES = ("positions", "fee", "slippage", "borrow_rate", "funding_rate", "ruin_fraction")
# The number of newest deployments that are read again, because a lower id may be committed after a higher id.
RECENT_CHANGES = 200
FIRST = "Something is live for the first time on this market."


def rules_of(environment: EnvironmentConfig) -> dict[str, Any]:
    """Return the settings that an account depends on, as JSON."""
    return environment.model_dump(mode="json", include=set(RULES))


@dataclass
class Roster:
    """The followed market and the rules of each policy, kept in memory. Only changed rows are read again."""

    _seen: dict[int, datetime] = field(default_factory=dict)
    _wanted: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _deployed: frozenset[int] = frozenset()
    _changes: frozenset[tuple[int, int]] = frozenset()
    _live: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _challengers: frozenset[tuple[int, int]] = frozenset()

    def refresh(self) -> bool:
        """Read the changed rows; return whether the wanted arms may have changed."""
        stamps = dict(PolicyStore.objects.order_by().values_list("pk", "updated_at"))
        changed = [pk for pk, stamp in stamps.items() if self._seen.get(pk) != stamp]
        gone = self._seen.keys() - stamps.keys()
        first = Deployment.objects.filter(previous__isnull=True).order_by()
        challengers = frozenset(Arm.objects.open().challengers().order_by().values_list("pk", "policy_id"))
        deployed = frozenset(first.values_list("policy_id", flat=True)) | {policy for _, policy in challengers}
        # The columns of a market depend on what is live.
        changes = frozenset(Deployment.objects.order_by("-pk").values_list("pk", "policy_id")[:RECENT_CHANGES])
        newer = {policy for _, policy in changes - self._changes} if changes & self._changes else deployed
        live = live_columns(newer) if changes != self._changes else {}
        moved = {policy for policy, columns in live.items() if columns != self._live.get(policy, ())}
        self._live |= live
        same = not changed and not gone and (deployed, challengers) == (self._deployed, self._challengers)
        if same and not moved:
            self._changes = changes
            return False
        known = dict(self._wanted)
        for pk in [*gone, *changed]:
            self._wanted.pop(pk, None)
        # A market is followed once something is live for the first time, or a challenger is opened.
        added = {*changed, *moved, *(deployed - self._deployed)} & deployed
        for policy in PolicyStore.objects.filter(pk__in=added).order_by("pk"):
            self._add(policy)
        self._seen, self._deployed, self._challengers, self._changes = stamps, deployed, challengers, changes
        return not same or self._wanted != known

    def _add(self, policy: PolicyStore) -> None:
        market = follow(policy, self._live.get(policy.pk, ())) if grows(policy.market) else None
        if market is not None and isinstance(policy.environment, EnvironmentConfig):
            self._wanted[policy.pk] = market.pk, rules_of(policy.environment)

    @property
    def wanted(self) -> Mapping[int, tuple[int, dict[str, Any]]]:
        """The id of the followed market and the rules, by the policy's id."""
        return self._wanted


def settle(wanted: Mapping[int, tuple[int, dict[str, Any]]], now: datetime) -> int:
    """End the arms that no longer fit their policies, open missing arms, and return the number of changed arms."""
    with transaction.atomic():
        open_arms = list(Arm.objects.open().select_related("market", "policy"))
        changed, endings = 0, dict[int, str]()
        for arm in open_arms:
            ending = _ending(arm, wanted.get(arm.policy_id))
            if ending:
                Arm.objects.filter(pk=arm.pk).update(ended_at=now, ending=ending)
                endings[arm.policy_id] = ending
                changed += 1
        kept = {(arm.policy_id, arm.kind) for arm in open_arms if arm.policy_id not in endings}
        missing = [
            Arm(
                policy_id=policy,
                kind=kind,
                market_id=market,
                rules=rules,
                opened_at=now,
                opening=endings.get(policy, FIRST),
            )
            for policy, (market, rules) in wanted.items()
            for kind in Arm.STANDARD
            if (policy, kind) not in kept
        ]
        Arm.objects.bulk_create(missing, batch_size=500)
    return changed + len(missing)


def _ending(arm: Arm, wanted: tuple[int, dict[str, Any]] | None) -> str:
    """Return why the arm ends; empty if the arm goes on."""
    if wanted is None:
        return f"The policy no longer follows the market {arm.market}."
    market, rules = wanted
    if market != arm.market_id:
        other = FollowedMarket.objects.get(pk=market)
        return f"The policy's market changed from {arm.market} to {other}."
    if rules != arm.rules:
        names = ", ".join(name for name in RULES if rules.get(name) != arm.rules.get(name))
        return f"The policy's {names} changed."
    return ""


def is_of(arm: Arm, policy: PolicyStore) -> bool:
    """Return whether the arm is on the policy's present market."""
    market = policy.market
    # The columns follow from what is live, and only the process `decide` fits the arm's market to them.
    return grows(market) and arm.market.identity == identity(market, arm.market.columns)
