from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_save


class AlertsConfig(AppConfig):
    name = "rl_training.alerts"
    label = "alerts"
    verbose_name = "Alerts"

    def ready(self) -> None:
        post_save.connect(add_rules, sender="rl_training.PolicyStore", dispatch_uid="alerts.add_rules")


def add_rules(instance: Any, created: bool, raw: bool = False, **_: Any) -> None:
    """A new policy is watched from the start; not one of a fixture, which brings its rules."""
    # Models can be imported once all apps are loaded.
    from rl_training.alerts.defaults import add_default_rules

    if created and not raw:
        add_default_rules(instance)
