"""Changes of what is live: author, wanted change and reason, and the checks against the policy's present state."""

import getpass
from dataclasses import dataclass
from typing import Any

from quantum_trader.text import storable
from rl_training.models import ArmComparison, Comparison, Deployment, PolicyStore, PolicyVersion, Validation

Action, Actor = Deployment.Action, Deployment.Actor

MAX_REASON = 2_000
# After these actions, automatic promotions change nothing: they must not undo a decision of a user.
PINNING = {Action.PIN, Action.ROLL_BACK, Action.GO_FLAT}


class ChangeRefusedError(Exception):
    """The change of what is live is refused; the message says why. Nothing was changed."""


class ReasonError(ChangeRefusedError):
    """The reason is empty or too long."""


class NothingChangesError(ChangeRefusedError):
    """The change would have no effect."""


class NotDeployableError(ChangeRefusedError):
    """The version cannot be live."""


class EvidenceError(ChangeRefusedError):
    """The comparison is no evidence for the change."""


class LiveChangedError(ChangeRefusedError):
    """What is live has changed since the author looked at it."""


@dataclass(frozen=True)
class Author:
    """The author of a change: a user, a command, or a rule. Only users have a `user`, and rules have no name."""

    actor: Deployment.Actor
    name: str = ""
    user: Any = None

    @classmethod
    def of(cls, user: Any) -> "Author":
        return cls(Actor.USER, user.get_username(), user)


def command_author() -> Author:
    """Return the author of a command: the operating system's account that runs it, if its name is known."""
    try:
        return Author(Actor.COMMAND, getpass.getuser()[:150])
    except (OSError, KeyError):
        return Author(Actor.COMMAND)


@dataclass(frozen=True)
class Change:
    """A wanted change of what is live.

    version         promote: the version; pin: the version, by default the live one; roll back: a version that was live
    to              roll back: the deployment whose target is wanted; by default the last one with another target
    seen            id of the newest deployment that the author knows; 0: there was none; None: do not check
    comparison      the comparison that is the evidence for the change, or None
    validation      the validation that is the evidence, or None
    arm_comparison  the comparison on new bars that is the evidence, or None
    """

    action: Deployment.Action
    reason: str
    version: PolicyVersion | None = None
    to: Deployment | None = None
    seen: int | None = None
    comparison: Comparison | None = None
    validation: Validation | None = None
    arm_comparison: ArmComparison | None = None

    def checked_reason(self) -> str:
        """Return the reason in its stored form. Raises `ReasonError`."""
        reason = storable(self.reason).strip()
        if not reason:
            raise ReasonError("A reason is required: it is kept with the change for good.")
        if len(reason) > MAX_REASON:
            raise ReasonError(f"The reason has {len(reason):,} characters; at most {MAX_REASON:,} are kept.")
        return reason


def check_seen(change: Change, current: Deployment | None) -> None:
    """Raise `LiveChangedError` if `current` is not the deployment that the author knows as the newest."""
    newest = current.pk if current else 0
    if change.seen is not None and change.seen != newest:
        raise LiveChangedError("What is live has changed meanwhile; look at it again.")


def check_deployable(policy: PolicyStore, version: PolicyVersion) -> None:
    """Raise `NotDeployableError` if the version cannot be live in the policy."""
    if version.policy_id != policy.pk:
        raise NotDeployableError(f"{version} is no version of {policy}.")
    # The caller may have read the version before the policy's row was locked.
    if not PolicyVersion.objects.with_weights().filter(pk=version.pk).exists():
        raise NotDeployableError(f"The weights of version {version.number} of {policy} were removed.")


def check_evidence(change: Change, version: PolicyVersion | None) -> None:
    """Raise `EvidenceError` if the change names a comparison without a result, or a comparison of other versions."""
    comparison = change.comparison
    if comparison is None:
        return
    if comparison.status != Comparison.Status.SUCCEEDED:
        raise EvidenceError(f"Comparison {comparison} has no result: it is {comparison.status}.")
    if version is not None and not comparison.versions.filter(pk=version.pk).exists():
        raise EvidenceError(f"Comparison {comparison} does not compare version {version.number} of {version.policy}.")


def target(policy: PolicyStore, change: Change, current: Deployment | None) -> PolicyVersion | None:
    """Return the version that is live after the change, or None for flat. `current` is the newest deployment.

    Raises `ChangeRefusedError`.
    """
    live = current.version if current else None
    pinned = current.pinned if current else False
    match change.action:
        case Action.UNPIN if not pinned:
            raise NothingChangesError(f"{policy} is not pinned.")
        case Action.UNPIN:
            return live
        case Action.GO_FLAT if live is None:
            raise NothingChangesError(f"Nothing of {policy} is live.")
        case Action.GO_FLAT:
            return None
        case Action.ROLL_BACK:
            wanted = _earlier(policy, change, live)
        case _:
            wanted = change.version or (live if change.action == Action.PIN else None)
            if wanted is None:
                raise NotDeployableError("Name a version: nothing is live.")
            if wanted == live and pinned == (change.action == Action.PIN):
                raise NothingChangesError(f"Version {wanted.number} of {policy} is live{' and pinned' * pinned}.")
    if wanted is not None:
        check_deployable(policy, wanted)
    return wanted


def _earlier(policy: PolicyStore, change: Change, live: PolicyVersion | None) -> PolicyVersion | None:
    """Return the target of the earlier deployment that a rollback names. Raises `ChangeRefusedError`."""
    deployments = policy.deployments.select_related("version").defer("version__evaluation").order_by("-at")
    if change.to is not None:
        found = deployments.filter(pk=change.to.pk).first()
        missing = f"{policy} has no such deployment."
    elif change.version is not None:
        found = deployments.filter(version=change.version).first()
        missing = f"Version {change.version.number} of {policy} was never live: promote it instead."
    else:
        found = rollback_target(policy, live)
        missing = f"{policy} has no earlier deployment with another target."
    if found is None:
        raise NotDeployableError(missing)
    if found.version == live:
        what = f"Version {live.number} of {policy} is live." if live else f"Nothing of {policy} is live."
        raise NothingChangesError(what)
    return found.version


def rollback_target(policy: PolicyStore, live: PolicyVersion | None) -> Deployment | None:
    """Return the last deployment whose target is not `live`: the default target of a rollback."""
    deployments = policy.deployments.select_related("version").defer("version__evaluation").order_by("-at")
    other = deployments.filter(version__isnull=False) if live is None else deployments.exclude(version=live)
    return other.first()
