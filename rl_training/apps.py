from django.apps import AppConfig


class RLTrainingConfig(AppConfig):
    name = "rl_training"
    verbose_name = "Training"
