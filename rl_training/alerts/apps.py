from django.apps import AppConfig


class AlertsConfig(AppConfig):
    name = "rl_training.alerts"
    label = "alerts"
    verbose_name = "Alerts"
