"""Rows that the tests of alerts store."""

from rl_training.alerts import state_changes
from rl_training.alerts.conditions import Holds, Rule
from rl_training.alerts.models import Alert, AlertChannel, AlertRule
from rl_training.models import PolicyStore
from tests.receiver import Receiver


def store_channel(receiver: Receiver, name: str = "receiver", **columns: object) -> AlertChannel:
    channel = AlertChannel(name=name, **columns)
    channel.address = receiver.address("s3cret")
    channel.save()
    return channel


def open_alerts(policy: PolicyStore, number: int = 1) -> list[Alert]:
    """Open an alert of the policy, and of `number - 1` new policies."""
    policies = [policy, *(PolicyStore.objects.create(name=f"policy_{index}") for index in range(1, number))]
    rules = [AlertRule.objects.get_or_create(policy=policy, kind="run_failed")[0] for policy in policies]
    found = [(Rule(rule.pk, rule.kind, rule.policy_id, 0, 1), Holds("It failed.")) for rule in rules]
    return state_changes.open_alerts(found)
