"""Triggering: a user queues a run of a policy, in the admin, on a page, with the API or with a command."""

from dataclasses import dataclass
from typing import Any

from rl_training.models import PolicyStore, PolicyVersion, TrainingRun
from rl_training.runs import lifecycle

LAST_SEED = 2**32 - 1
# The largest number that the column of a version's number holds.
LAST_VERSION = 2**31 - 1


@dataclass(frozen=True)
class RunOptions:
    """The options that a user chose for one run; the policy's settings decide the rest.

    initial_version   number of the version to start from; by default the policy's `start_from` decides
    from_scratch      start from no version
    """

    episodes: int | None = None
    seed: int | None = None
    initial_version: int | None = None
    from_scratch: bool = False


AS_CONFIGURED = RunOptions()


class UnknownVersionError(Exception):
    """The policy has no version with the requested number."""


class WeightsRemovedError(UnknownVersionError):
    """The weights of the version with the requested number were removed."""


def trigger_run(
    policy: PolicyStore,
    trigger: TrainingRun.Trigger,
    options: RunOptions = AS_CONFIGURED,
    *,
    user: Any = None,
    send_message: bool = True,
) -> TrainingRun:
    """Queue a run of `policy` and, with `send_message`, notify a worker. The run stores `user`, who triggers it.

    Raises `UnknownVersionError`, `lifecycle.AlreadyActiveError`, and `InvalidConfigError` when the policy's config is
    stored invalid.
    """
    try:
        return lifecycle.enqueue(
            policy,
            trigger,
            episodes=options.episodes,
            seed=options.seed,
            initial_version=find_version(policy, options.initial_version),
            from_scratch=options.from_scratch,
            triggered_by=user,
            send_message=send_message,
        )
    except lifecycle.WeightsRemovedError as error:
        raise WeightsRemovedError(str(error)) from None


def find_version(policy: PolicyStore, number: int | None) -> PolicyVersion | None:
    """Return the policy's version with this number, or None if the number is None.

    Raises `UnknownVersionError`, which may be a `WeightsRemovedError`.
    """
    if number is None:
        return None
    version = policy.versions.filter(number=number).first()
    if version is None:
        raise UnknownVersionError(f"{policy.name} has no version {number}.")
    if version.weights_removed_at is not None:
        raise WeightsRemovedError(f"The weights of version {number} of {policy.name} were removed.")
    return version
