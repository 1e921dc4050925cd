"""The tables of the domain: policies, their training runs, versions, deployments and events."""

from rl_training.models.config_column import InvalidConfig, InvalidConfigError
from rl_training.models.decisions.arms import Arm
from rl_training.models.decisions.comparisons import ArmComparison, ComparedBar
from rl_training.models.decisions.decided import Decision
from rl_training.models.decisions.markets import FollowedMarket, MarketBar
from rl_training.models.decisions.watches import Watch
from rl_training.models.deployments import Deployment
from rl_training.models.events import TrainingEvent, TrainingEventQuerySet
from rl_training.models.idempotency_keys import IdempotencyKey
from rl_training.models.policies import PolicyStore, PolicyStoreQuerySet
from rl_training.models.policy_settings import (
    CHOICES,
    MAX_EPISODES,
    MAX_INTERVAL_MINUTES,
    MAX_RUN_MINUTES,
    MAX_STALL_MINUTES,
    RANGES,
    Fallback,
    MustBeat,
    Promotion,
    StartFrom,
)
from rl_training.models.proposals import Proposal, ProposalQuerySet
from rl_training.models.runs import TrainingRun, TrainingRunQuerySet, new_run_id
from rl_training.models.slots import SlotOutcome, SlotRange, SlotRangeQuerySet, SlotReason
from rl_training.models.storage.readings import StorageReading
from rl_training.models.totals import Measure, RunTotal
from rl_training.models.versions import PolicyVersion, PolicyVersionQuerySet
from rl_training.models.work.comparisons import ComparedVersion, Comparison
from rl_training.models.work.trials import Trial, TrialMarket
from rl_training.models.work.validations import Validation, ValidationStep

__all__ = [
    "CHOICES",
    "MAX_EPISODES",
    "MAX_INTERVAL_MINUTES",
    "MAX_RUN_MINUTES",
    "MAX_STALL_MINUTES",
    "RANGES",
    "Arm",
    "ArmComparison",
    "ComparedBar",
    "ComparedVersion",
    "Comparison",
    "Decision",
    "Deployment",
    "Fallback",
    "FollowedMarket",
    "IdempotencyKey",
    "InvalidConfig",
    "InvalidConfigError",
    "MarketBar",
    "Measure",
    "MustBeat",
    "PolicyStore",
    "PolicyStoreQuerySet",
    "PolicyVersion",
    "PolicyVersionQuerySet",
    "Promotion",
    "Proposal",
    "ProposalQuerySet",
    "RunTotal",
    "SlotOutcome",
    "SlotRange",
    "SlotRangeQuerySet",
    "SlotReason",
    "StartFrom",
    "StorageReading",
    "TrainingEvent",
    "TrainingEventQuerySet",
    "TrainingRun",
    "TrainingRunQuerySet",
    "Trial",
    "TrialMarket",
    "Validation",
    "ValidationStep",
    "Watch",
    "new_run_id",
]
