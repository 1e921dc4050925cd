"""Migrations that compute values of rows."""

import importlib

import pytest
from django.apps import apps
from django.db import connection

from rl_training.models import PolicyVersion, TrainingRun
from tests.stored import finished_run

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("model", apps.get_models(), ids=lambda model: model._meta.label)
def test_table_has_each_index_and_constraint_of_its_model(model):
    names = {found.name for found in (*model._meta.indexes, *model._meta.constraints)}
    with connection.cursor() as cursor:
        assert names <= set(connection.introspection.get_constraints(cursor, model._meta.db_table))


def test_runs_with_a_version_get_what_they_started_from(policy):
    migration = importlib.import_module("rl_training.migrations.0010_started_from")
    first, continued, anew, failed = (finished_run(policy) for _ in range(4))
    columns = {"policy": policy, "evaluation": {}}
    version = PolicyVersion.objects.create(number=1, run=first, **columns)
    PolicyVersion.objects.create(number=2, run=continued, parent=version, **columns)
    PolicyVersion.objects.create(number=3, run=anew, **columns)
    TrainingRun.objects.exclude(pk=first.pk).update(initial_version=version)
    migration.fill_from_versions(apps, None)
    found = {run.pk: (run.started_from, run.start_note) for run in TrainingRun.objects.all()}
    assert found == {
        first.pk: (None, ""),
        continued.pk: (version, ""),
        anew.pk: (None, "the reason was not stored; the log of that time has it"),
        failed.pk: (None, None),
    }


def test_stored_versions_get_the_results_of_their_evaluations(policy):
    migration = importlib.import_module("rl_training.migrations.0017_version_results")
    evaluation = {"total_return": 0.25, "bars": 9, "sharpe_interval": [0.5, None], "flat": "x", "turnover": "many"}
    run = finished_run(policy, config={"market": {"source": "nasdaq"}})
    version = PolicyVersion.objects.create(policy=policy, number=1, run=run, evaluation={})
    PolicyVersion.objects.update(evaluation=evaluation, market="")
    migration.fill(apps, None)
    version.refresh_from_db()
    assert (version.market, version.held_out_return, version.held_out_bars) == ("nasdaq", 0.25, 9)
    assert (version.sharpe_low, version.sharpe_high, version.flat_return, version.turnover) == (0.5, None, None, None)
