"""Which rules there are at first."""

from rl_training.alerts.kinds import POLICY_KINDS
from rl_training.alerts.models import AlertRule
from rl_training.models import PolicyStore


def add_default_rules(policy: PolicyStore) -> None:
    """Give the policy a rule of each kind that it has none of."""
    rules = [AlertRule(policy=policy, kind=kind) for kind in POLICY_KINDS]
    AlertRule.objects.bulk_create(rules, ignore_conflicts=True)
