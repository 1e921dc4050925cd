"""The tables of the alerts: rules, the alerts that they open, channels, and the messages to them."""

from rl_training.alerts.models.alert import Alert, AlertQuerySet
from rl_training.alerts.models.channel import AlertChannel, AlertChannelQuerySet
from rl_training.alerts.models.message import AlertDelivery, AlertMessage, AlertMessageQuerySet
from rl_training.alerts.models.round import Round
from rl_training.alerts.models.rule import AlertRule, add_default_rules

__all__ = [
    "Alert",
    "AlertChannel",
    "AlertChannelQuerySet",
    "AlertDelivery",
    "AlertMessage",
    "AlertMessageQuerySet",
    "AlertQuerySet",
    "AlertRule",
    "Round",
    "add_default_rules",
]
