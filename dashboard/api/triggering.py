"""The request that triggers a run, and its execution."""

import re
from typing import Any, cast

import pydantic
from django.db import IntegrityError
from rest_framework.exceptions import NotFound
from rest_framework.request import Request

from dashboard.api.protocol.problem_details import Conflict, InvalidInput, InvalidSettings, KeyReused, RunAlreadyActive
from dashboard.api.protocol.views import check_policy_name, unknown_policy
from rl_training.core.base_config import Config
from rl_training.core.config_problems import broken_rule
from rl_training.models import MAX_EPISODES, InvalidConfigError, PolicyStore, TrainingRun
from rl_training.runs import idempotency, lifecycle
from rl_training.runs.triggering import (
    LAST_SEED,
    LAST_VERSION,
    RunOptions,
    UnknownVersionError,
    trigger_run,
)


class TriggerRequest(Config):
    """The run to trigger. Fields that are not given follow from the policy's settings."""

    policy: str = pydantic.Field(min_length=1, max_length=50, description="The policy's name.")
    episodes: int | None = pydantic.Field(default=None, ge=1, le=MAX_EPISODES)
    seed: int | None = pydantic.Field(default=None, ge=0, le=LAST_SEED, description="Random by default.")
    initial_version: int | None = pydantic.Field(
        default=None,
        ge=1,
        le=LAST_VERSION,
        description="The version to start from; by default as `start_from` of the policy says.",
    )
    from_scratch: bool = pydantic.Field(default=False, description="Start from no version.")

    @pydantic.model_validator(mode="after")
    def starts_from_one_thing(self) -> "TriggerRequest":
        if self.from_scratch and self.initial_version is not None:
            raise broken_rule("from_scratch", "true excludes initial_version")
        return self


def idempotency_key(request: Request) -> str | None:
    """Return the request's Idempotency-Key, None without one. Raises `InvalidInput` for a malformed key."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(f"[!-~]{{1,{idempotency.MAX_LENGTH}}}", key):
        wanted = f"1 to {idempotency.MAX_LENGTH} visible ASCII characters, no spaces."
        raise InvalidInput({"Idempotency-Key": wanted})
    return key


def trigger(request: Request, body: TriggerRequest, key: str | None) -> tuple[TrainingRun, bool]:
    """Queue a run, and return the run and whether an earlier request with the same key has queued it.

    Raises a `Problem` if no run can be queued.
    """
    policy, user = find_policy(body.policy), request.user
    try:
        return idempotency.once(cast(int, user.pk), key, body.model_dump_json(), lambda: enqueue(policy, body, user))
    except idempotency.KeyReusedError:
        raise KeyReused("This Idempotency-Key was used for another request; take a new key.") from None
    except InvalidConfigError as error:
        raise InvalidSettings(f"The stored settings of {policy.name} are invalid: {error}") from None
    except lifecycle.AlreadyActiveError as error:
        raise RunAlreadyActive(f"Refused: {error}.", run_id=error.run.run_id) from None
    except IntegrityError:
        raise Conflict("The policy's active run has just ended; repeat the request.") from None


def enqueue(policy: PolicyStore, body: TriggerRequest, user: Any) -> TrainingRun:
    options = RunOptions(body.episodes, body.seed, body.initial_version, body.from_scratch)
    try:
        return trigger_run(policy, TrainingRun.Trigger.API, options, user=user)
    except UnknownVersionError as error:
        raise InvalidInput({"initial_version": str(error)}) from None


def find_policy(name: str) -> PolicyStore:
    try:
        check_policy_name(name)
        return PolicyStore.objects.get(name=name)
    except (NotFound, PolicyStore.DoesNotExist):
        raise InvalidInput({"policy": unknown_policy(name)}) from None
