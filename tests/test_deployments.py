"""The rows of deployments are never changed or removed."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from rl_training.models import Deployment
from rl_training.models.permanent_rows import PermanentRowError
from tests.dashboard.pages.page_rows import version_of
from tests.stored import deploy, finished_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(policy):
    return deploy(version_of(finished_run(policy)))


def test_stored_deployment_is_neither_changed_nor_removed(deployment):
    for attempt in (deployment.save, deployment.delete, Deployment.objects.all().delete):
        with pytest.raises(PermanentRowError):
            attempt()
    with pytest.raises(PermanentRowError):
        Deployment.objects.update(reason="another")
    assert Deployment.objects.get().reason == "It is the best one."


def test_two_deployments_do_not_follow_the_same_one(deployment):
    deploy(deployment.version)
    columns = {"policy": deployment.policy, "action": "go_flat", "actor": "user", "at": timezone.now()}
    for wrong in ({"previous": deployment}, {"previous": None}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Deployment.objects.create(**columns, reason="It loses.", **wrong)


def test_deployment_without_a_reason_is_refused_by_the_database(deployment):
    columns = {"policy": deployment.policy, "action": "go_flat", "actor": "user", "at": timezone.now()}
    with pytest.raises(IntegrityError), transaction.atomic():
        Deployment.objects.create(**columns, reason="", previous=deployment)
