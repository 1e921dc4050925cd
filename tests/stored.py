"""Rows for tests of the admin, the pages and the API."""

import json

from django.db import connection
from django.utils import timezone

from rl_training.models import Deployment, TrainingRun

MARKUP = "<script>alert('x')</script>"


def store_raw(policy, column, value):
    """Store a JSON value that the model would refuse."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE rl_training_policystore SET {column} = %s WHERE id = %s", [json.dumps(value), policy.pk]
        )


def finished_run(policy, **columns):
    columns = {"status": "succeeded", "trigger": "schedule", "episodes": 2, "config": {}} | columns
    return TrainingRun.objects.create(policy=policy, finished_at=timezone.now(), **columns)


def deploy(version, at=None):
    """Make a version live."""
    previous = version.policy.deployments.first()
    columns = {"action": "promote", "actor": "user", "reason": "It is the best one.", "previous": previous}
    return Deployment.objects.create(policy=version.policy, version=version, at=at or timezone.now(), **columns)
