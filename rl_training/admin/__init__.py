"""The Django admin: edits policies, and shows runs, slots, versions, deployments, their evidence and events."""

from django.contrib import admin

from rl_training.admin.deployments import DeploymentAdmin, ProposalAdmin
from rl_training.admin.evidence import ComparisonAdmin, TrialAdmin, ValidationAdmin
from rl_training.admin.policies import PolicyStoreAdmin
from rl_training.admin.records import TrainingEventAdmin, TrainingRunAdmin
from rl_training.admin.slots import SlotRangeAdmin
from rl_training.admin.versions import PolicyVersionAdmin

admin.site.site_header = admin.site.site_title = "Quantum trader"
admin.site.index_title = "Policies and their training"

__all__ = [
    "ComparisonAdmin",
    "DeploymentAdmin",
    "PolicyStoreAdmin",
    "PolicyVersionAdmin",
    "ProposalAdmin",
    "SlotRangeAdmin",
    "TrainingEventAdmin",
    "TrainingRunAdmin",
    "TrialAdmin",
    "ValidationAdmin",
]
