"""The Celery application: `celery -A celery_app worker -Q training`, `-Q alerts` or `-Q decisions`, and `... beat`."""

import os
from typing import Any

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quantum_trader.settings")
# Celery runs Django's checks at the start of worker, beat and Flower and drops the result. They import the pages and
# the API, which takes half a second and 28 MB.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("quantum_trader")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["rl_training", "rl_training.alerts", "rl_training.decisions.process"])


@setup_logging.connect
def keep_the_projects_logging(**_: Any) -> None:
    """Do nothing: a receiver of this signal keeps Celery from replacing the logging of Django's settings."""
