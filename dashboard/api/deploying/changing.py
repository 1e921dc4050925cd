"""The requests that change what is live or propose a change, and their execution."""

from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

import pydantic
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request

from dashboard.api.protocol.problem_details import (
    AlreadyProposed,
    Conflict,
    InvalidInput,
    LiveHasChanged,
    NotDeployable,
    NothingChanges,
    ProposalIsDecided,
)
from dashboard.api.protocol.views import check_policy_name, unknown_policy
from quantum_trader.text import LAST_NUMBER
from rl_training.core.base_config import BrokenRule, Config
from rl_training.core.config_problems import find_problems
from rl_training.models import Comparison, Deployment, PolicyStore
from rl_training.runs.triggering import LAST_VERSION, UnknownVersionError, find_version
from rl_training.versions import changes, proposals
from rl_training.versions.changes import MAX_REASON, Action, Change

T = TypeVar("T")


class ChangeRequest(Config):
    """A change of what is live."""

    action: Literal["promote", "pin", "unpin", "roll_back", "go_flat"]
    reason: str = pydantic.Field(min_length=1, max_length=MAX_REASON, description="Stored with the change permanently.")
    version: int | None = pydantic.Field(
        default=None,
        ge=1,
        le=LAST_VERSION,
        description="promote: required. pin: by default the live version. roll_back: a version that was live before.",
    )
    deployment: int | None = pydantic.Field(
        default=None,
        ge=1,
        le=LAST_NUMBER,
        description="roll_back: the deployment whose target becomes live again. Without `deployment` and `version`, "
        "the last deployment with another target.",
    )
    previous: int | None = pydantic.Field(
        default=None,
        ge=0,
        le=LAST_NUMBER,
        description="The newest deployment that the client knows, 0 for none. 409 if there is a newer deployment.",
    )

    comparison: str | None = pydantic.Field(
        default=None, pattern="^[0-9a-f]{12}$", description="The comparison that is the evidence for the change."
    )

    def broken_rules(self) -> Iterator[BrokenRule]:
        if self.action == "promote" and self.version is None:
            yield BrokenRule(("version", "action"), "promote needs a version")
        if self.action in ("unpin", "go_flat") and self.version is not None:
            yield BrokenRule(("version", "action"), f"{self.action} takes no version")
        if self.deployment is not None and (self.action != "roll_back" or self.version is not None):
            yield BrokenRule(("deployment", "action", "version"), "only for roll_back, and without a version")


class ProposalRequest(ChangeRequest):
    """A proposed change of what is live."""

    policy: str = pydantic.Field(min_length=1, max_length=50, description="The policy's name.")


def read(model: type[T], request: Request) -> T:
    """Return the request's body as the model. Raises `InvalidInput`."""
    try:
        return model.model_validate(request.data)  # type: ignore[attr-defined, no-any-return]
    except pydantic.ValidationError as error:
        raise InvalidInput(dict(find_problems(error))) from None


def find_policy(name: str) -> PolicyStore:
    """Return the policy in the URL. Raises `NotFound`."""
    check_policy_name(name)
    policy = PolicyStore.objects.filter(name=name).first()
    if policy is None:
        raise NotFound(unknown_policy(name))
    return policy


def change_of(policy: PolicyStore, body: ChangeRequest) -> Change:
    """Return the change that the body requests. Raises `InvalidInput` if the body names an unknown row."""
    try:
        version = find_version(policy, body.version)
    except UnknownVersionError as error:
        raise InvalidInput({"version": str(error)}) from None
    to = None
    if body.deployment is not None:
        to = Deployment.objects.filter(policy=policy, pk=body.deployment).first()
        if to is None:
            raise InvalidInput({"deployment": f"{policy.name} has no deployment {body.deployment}."})
    comparison = None
    if body.comparison is not None:
        comparison = Comparison.objects.defer("result").filter(comparison_id=body.comparison).first()
        if comparison is None:
            raise InvalidInput({"comparison": f"There is no comparison {body.comparison}."})
    return Change(Action(body.action), body.reason, version, to, body.previous, comparison)


def decide(act: Callable[[], T]) -> T:
    """Return the result of `act`, and raise its refusals as problems."""
    try:
        return act()
    except proposals.NotPermittedError as error:
        raise PermissionDenied(str(error)) from None
    except changes.ReasonError as error:
        raise InvalidInput({"reason": str(error)}) from None
    except changes.EvidenceError as error:
        raise InvalidInput({"comparison": str(error)}) from None
    except changes.NothingChangesError as error:
        raise NothingChanges(str(error)) from None
    except changes.LiveChangedError as error:
        raise LiveHasChanged(str(error)) from None
    except changes.NotDeployableError as error:
        raise NotDeployable(str(error)) from None
    except proposals.AlreadyDecidedError as error:
        raise ProposalIsDecided(str(error)) from None
    except proposals.AlreadyProposedError as error:
        raise AlreadyProposed(str(error), proposal=error.proposal.pk) from None
    except changes.ChangeRefusedError as error:
        raise Conflict(str(error)) from None
