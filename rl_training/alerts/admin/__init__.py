"""Alerts in the Django admin: rules and channels are edited, alerts are looked at and acknowledged."""

from rl_training.alerts.admin.alerts import AlertAdmin
from rl_training.alerts.admin.channels import AlertChannelAdmin
from rl_training.alerts.admin.rules import AlertRuleAdmin

__all__ = ["AlertAdmin", "AlertChannelAdmin", "AlertRuleAdmin"]
