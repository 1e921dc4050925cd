from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate, pre_migrate

# Web and the commands send tasks too. Without this import Celery would use a default application without our broker.
import celery_app  # noqa: F401


class RLTrainingConfig(AppConfig):
    name = "rl_training"
    verbose_name = "Training"

    def ready(self) -> None:
        pre_migrate.connect(lift_statement_timeout, sender=self)
        post_migrate.connect(restore_statement_timeout, sender=self)


def lift_statement_timeout(using: str, **_: Any) -> None:
    """Let a migration of a large table take longer than the time limit of a statement."""
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            cursor.execute("SET statement_timeout = 0")


def restore_statement_timeout(using: str, **_: Any) -> None:
    """Restore the time limit of a statement after the migrations."""
    if connections[using].vendor == "postgresql":
        with connections[using].cursor() as cursor:
            cursor.execute("RESET statement_timeout")
