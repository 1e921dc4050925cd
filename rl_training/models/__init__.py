"""The tables of the domain: policies, their training runs, and the versions and events that the runs produce."""

from rl_training.models.config_column import InvalidConfig, InvalidConfigError
from rl_training.models.events import TrainingEvent, TrainingEventQuerySet
from rl_training.models.idempotency_keys import IdempotencyKey
from rl_training.models.policies import (
    MAX_EPISODES,
    MAX_INTERVAL_MINUTES,
    MAX_RUN_MINUTES,
    MAX_STALL_MINUTES,
    MAXIMA,
    PolicyStore,
    PolicyStoreQuerySet,
)
from rl_training.models.runs import TrainingRun, TrainingRunQuerySet, new_run_id
from rl_training.models.totals import Measure, RunTotal
from rl_training.models.versions import PolicyVersion

__all__ = [
    "MAXIMA",
    "MAX_EPISODES",
    "MAX_INTERVAL_MINUTES",
    "MAX_RUN_MINUTES",
    "MAX_STALL_MINUTES",
    "IdempotencyKey",
    "InvalidConfig",
    "InvalidConfigError",
    "Measure",
    "PolicyStore",
    "PolicyStoreQuerySet",
    "PolicyVersion",
    "RunTotal",
    "TrainingEvent",
    "TrainingEventQuerySet",
    "TrainingRun",
    "TrainingRunQuerySet",
    "new_run_id",
]
