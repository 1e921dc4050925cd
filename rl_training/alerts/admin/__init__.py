"""Alerts in the Django admin: users edit rules and channels, and read and acknowledge alerts."""

from rl_training.alerts.admin.alerts import AlertAdmin
from rl_training.alerts.admin.channels import AlertChannelAdmin
from rl_training.alerts.admin.rules import AlertRuleAdmin

__all__ = ["AlertAdmin", "AlertChannelAdmin", "AlertRuleAdmin"]
