"""Challengers: arms that users open beside the live version and its references, and how requests name arms.

A challenger only decides and trades on paper: it does not change what is live.
"""

from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import IntegrityError, transaction
from django.db.models import Q

from rl_training.core.config import EnvironmentConfig
from rl_training.core.config_problems import format_problems
from rl_training.core.market_values import OWN
from rl_training.decisions.arms import rules_of
from rl_training.decisions.markets import follow, grows, identity, live_columns, observed_under
from rl_training.models import Arm, ArmComparison, FollowedMarket, PolicyStore, PolicyVersion
from rl_training.validation import gate
from rl_training.versions.naming import UnknownVersionError, find_versions, parse

log = structlog.get_logger(__name__)

# The most open challengers of a policy: each challenger decides on every bar and is a line of a chart.
MOST = 8
RULES = (Arm.Kind.LAST_RETURN_FOLLOWED, Arm.Kind.LAST_RETURN_OPPOSED, Arm.Kind.LAST_20_BARS_FOLLOWED)
NEWEST = "newest"
FORMS = (
    f"{', '.join(Arm.STANDARD)}, {', '.join(RULES)}, {NEWEST} (the newest version of the policy's recipe), "
    f"{NEWEST}:POLICY (of another policy's recipe) or POLICY:NUMBER (a version)"
)


class ArmRefusedError(Exception):
    """Opening or ending the arm is refused; the message says why. Nothing was changed."""


class UnknownArmError(ArmRefusedError):
    """The text does not name an arm."""


@dataclass(frozen=True)
class Named:
    """An arm that a request names."""

    kind: Arm.Kind
    version: PolicyVersion | None = None
    recipe_policy: PolicyStore | None = None
    recipe: str = ""

    @property
    def policy(self) -> PolicyStore | None:
        """The policy whose versions decide."""
        return self.version.policy if self.version else self.recipe_policy


def named(policy: PolicyStore, text: str) -> Named:
    """Return the policy's arm that the text names in one of FORMS. Raises `UnknownArmError`."""
    if text in Arm.STANDARD or text in RULES:
        return Named(Arm.Kind(text))
    kind, _, other = text.partition(":")
    if kind == NEWEST:
        found = PolicyStore.objects.filter(name=other).first() if other and "\0" not in other else None
        if other and found is None:
            raise UnknownArmError(f"There is no policy {other[:50]}.")
        recipe_policy = found or policy
        recipe = gate.recipe_of(recipe_policy)
        if not recipe:
            problems = format_problems(recipe_policy.config_problems)
            raise UnknownArmError(f"The stored settings of {recipe_policy} are invalid: {problems}")
        return Named(Arm.Kind.NEWEST, recipe_policy=recipe_policy, recipe=recipe)
    try:
        return Named(Arm.Kind.VERSION, version=find_versions([parse(text)])[0])
    except UnknownVersionError as error:
        raise UnknownArmError(f"{error} An arm is one of {FORMS}.") from None


def open_arm(policy: PolicyStore, text: str, *, by: str, now: datetime) -> tuple[Arm, bool]:
    """Open the policy's arm that the text names; return the arm, and False if it was open. Raises `ArmRefusedError`.

    `by` is the name of the user or command.
    """
    wanted = named(policy, text)
    own = Arm.objects.open().filter(policy=policy).shown()
    same = own.filter(
        kind=wanted.kind, version=wanted.version, recipe_policy=wanted.recipe_policy, recipe=wanted.recipe
    )
    found = same.first()
    if found is not None:
        return found, False
    try:
        with transaction.atomic():
            _open(policy, wanted, own.challengers().count(), by, now)
    except IntegrityError:
        # Another process opened the same arm at the same time.
        return same.get(), False
    arm = same.get()
    log.info("Arm opened", policy=policy.name, arm=arm.name, by=by)
    return arm, True


def _open(policy: PolicyStore, wanted: Named, challengers: int, by: str, now: datetime) -> None:
    own, environment = policy.market, policy.environment
    if not (
        grows(own)
        and isinstance(environment, EnvironmentConfig)
        and (market := follow(policy, live_columns([policy.pk]).get(policy.pk, ())))
    ):
        raise ArmRefusedError(
            f"The market of {policy} does not grow: only exchanges and files that grow have new bars."
        )
    other = wanted.policy or policy
    if other.pk != policy.pk and not (grows(other.market) and identity(other.market) == identity(own)):
        raise ArmRefusedError(f"{other} is of another market than {policy}.")
    _check_columns(policy, wanted, market)
    if wanted.kind not in Arm.STANDARD and challengers >= MOST:
        raise ArmRefusedError(f"{policy} has {challengers} challengers: end one of them first.")
    if wanted.version is not None and not wanted.version.keep():
        raise ArmRefusedError(f"The weights of {wanted.version} were removed.")
    Arm.objects.create(
        policy=policy,
        kind=wanted.kind,
        version=wanted.version,
        recipe_policy=wanted.recipe_policy,
        recipe=wanted.recipe,
        market=market,
        rules=rules_of(environment),
        opened_at=now,
        opening=f"Opened by {by}.",
    )


def _check_columns(policy: PolicyStore, wanted: Named, market: FollowedMarket) -> None:
    """Raise `ArmRefusedError` if the arm observes further columns that the bars of the policy's market lack."""
    environment = wanted.recipe_policy.environment if wanted.recipe_policy else None
    needed = environment.own_columns if isinstance(environment, EnvironmentConfig) else ()
    if wanted.version is not None:
        needed = observed_under(wanted.version.run.config)
    if lacking := [OWN + name for name in needed if name not in market.columns]:
        raise ArmRefusedError(
            f"{wanted.version or wanted.recipe_policy} observes {', '.join(lacking)}, which neither the features nor "
            f"the live version of {policy} name. Open the arm at a policy whose features name the columns."
        )


def end_arm(arm: Arm, *, by: str, now: datetime) -> None:
    """End a challenger; its decisions and its account stay. Raises `ArmRefusedError`."""
    if not arm.is_challenger:
        raise ArmRefusedError(f"The arm {arm.title} belongs to every policy: only challengers can be ended.")
    compared = ArmComparison.objects.running().filter(Q(a=arm) | Q(b=arm)).first()
    if compared is not None:
        raise ArmRefusedError(f"Comparison {compared} needs the arm: end the comparison first.")
    ended = Arm.objects.open().filter(pk=arm.pk).update(ended_at=now, ending=f"Ended by {by}.")
    if not ended:
        raise ArmRefusedError("The arm has ended already.")
    log.info("Arm ended", policy=arm.policy.name, arm=arm.name, by=by)
