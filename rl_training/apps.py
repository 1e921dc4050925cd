from django.apps import AppConfig

# Web and the commands send tasks too: without this they would do so through an application that knows no broker.
import celery_app  # noqa: F401


class RLTrainingConfig(AppConfig):
    name = "rl_training"
    verbose_name = "Training"
