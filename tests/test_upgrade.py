"""Upgrade: a database of the first release is migrated to the present schema, and everything in it stays readable."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.urls import reverse

from rl_training import roles
from rl_training.accounts.models import ApiToken
from rl_training.alerts.kinds import POLICY_KINDS, SYSTEM_KINDS
from rl_training.alerts.models import AlertRule
from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market_config import MarketConfig
from rl_training.models import PolicyStore, PolicyVersion, RunTotal, TrainingEvent, TrainingRun
from rl_training.storage.backup import rows
from tests import databases, first_release

RUNS = tuple(letter * 12 for letter in "abcde")
POLICIES = ("btc_hourly", "rl_v3")
# The models that the first release did not have, or whose rows no upgrade makes.
NEW_AND_EMPTY = (
    {"ComparedVersion", "Comparison", "IdempotencyKey", "Proposal", "Round", "SlotRange", "Trial", "TrialMarket"}
    | {"StorageReading", "Validation", "ValidationStep", "Arm", "Decision", "FollowedMarket", "MarketBar"}
    | {"ArmComparison", "ComparedBar", "Watch"}
    | {*("Alert", "AlertChannel", "AlertDelivery", "AlertMessage", "AlertRule_channels")}
    | {*("FailedLogins", "KnownPlace", "StaticDevice", "StaticToken", "TOTPDevice")}
)
API = (
    *("policies/", "policies/btc_hourly/versions/", "policies/btc_hourly/versions/1/", "runs/", "events/", "alerts/"),
    *(f"policies/{name}/" for name in POLICIES),
    *(f"rl-v3/dashboard/training-summary?policy={name}" for name in POLICIES),
    *(f"runs/{run_id}/" for run_id in RUNS),
    "events/11111111-1111-1111-1111-111111111111/",
)
PAGES = (
    *("/", "/runs/", "/alerts/", "/policies/btc_hourly/versions/1/", "/policies/btc_hourly/versions/2/"),
    *(f"/policies/{name}/{page}" for name in POLICIES for page in ("", "settings/")),
    *(f"/charts/btc_hourly/versions/2/{key}.json" for key in ("equity", "drawdown")),
    *(f"/runs/{run_id}/" for run_id in RUNS),
)


@contextmanager
def connected_to(name: str) -> Iterator[None]:
    """Let the models use the database with this name in the block."""
    usual = connections["default"]
    other = connections.create_connection("default")
    other.settings_dict = other.settings_dict | {"NAME": name}
    connections["default"] = other
    try:
        yield
    finally:
        other.close()
        connections["default"] = usual


@pytest.fixture(scope="module")
def upgraded_database(tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[str]:
    """Return the name of a database that the first release filled and the present release has migrated."""
    name = "test_upgrade" if databases.SERVER else str(tmp_path_factory.mktemp("upgrade") / "db.sqlite3")
    if databases.SERVER:
        databases.drop_database(name)
        databases.create_database(name)
    with django_db_blocker.unblock(), connected_to(name):
        first_release.create()
        tables = set(connection.introspection.table_names()) - {"django_migrations"}
        assert [table for table in sorted(tables) if not first_release.count(table)] == []
        call_command("migrate", verbosity=0)
    yield name
    if databases.SERVER:
        databases.drop_database(name)


def schema() -> dict[str, list[str]]:
    """Return the columns, indexes and constraints of each table, without the names that the database makes up."""
    found = {}
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            columns = map(repr, connection.introspection.get_table_description(cursor, table))
            constraints = connection.introspection.get_constraints(cursor, table).items()
            named = (f"{re.sub('^(fk_|__).*', '', name)} {facts}" for name, facts in constraints)
            found[table] = [*sorted(columns), *sorted(named)]
    return found


@pytest.fixture(scope="module")
def new_schema(django_db_setup, django_db_blocker) -> dict[str, list[str]]:
    with django_db_blocker.unblock():
        return schema()


@pytest.fixture(autouse=True)
def upgraded(db, upgraded_database) -> Iterator[None]:
    with connected_to(upgraded_database), transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def client() -> Client:
    client = Client()
    client.force_login(User.objects.get(username="ann"))
    return client


def test_every_row_of_every_model_is_readable():
    empty = set()
    for model in apps.get_models(include_auto_created=True):
        found = list(model._default_manager.all())
        for row in found:
            assert all(hasattr(row, field.attname) for field in model._meta.concrete_fields)
        if not found:
            empty.add(model.__name__)
    assert empty == NEW_AND_EMPTY


def test_policy_keeps_its_settings_and_new_settings_have_defaults():
    policy = PolicyStore.objects.get(name="btc_hourly")
    assert (policy.enabled, policy.interval_minutes, policy.episodes_per_run) == (True, 15, 3)
    assert (policy.total_runs, policy.succeeded_runs) == (3, 2)
    assert (policy.run_limit_minutes, policy.stall_limit_minutes) == (1440, 10)
    assert policy.config_problems == []
    assert policy.training_config(seed=7) == TrainingConfig(
        market=MarketConfig(source="sp500", train_fraction=0.8),
        environment=EnvironmentConfig(episode_length=256, features=["log_return_1", "rsi_14", "volume_zscore_20"]),
        ppo=PPOConfig(learning_rate=3e-4, minibatch_size=512, num_envs=32, rollout_length=128),
        episodes=3,
        seed=7,
    )
    assert [record.interval_minutes for record in policy.history.all()] == [15]


def test_runs_versions_and_events_keep_their_values():
    runs = TrainingRun.objects.order_by("run_id")
    assert [run.status for run in runs] == ["succeeded", "succeeded", "failed", "running", "queued"]
    first, second, failed, *_ = runs
    assert (first.avg_reward, first.episode_rewards, first.environment_steps) == (0.125, [0.0, 0.25], 16384)
    assert TrainingConfig.model_validate(first.config).ppo.num_envs == 32
    assert (failed.error, failed.traceback, failed.workers_lost) == ("no bars", "Traceback: no bars", 0)
    child = PolicyVersion.objects.get(number=2)
    assert child.parent is not None
    assert (child.run, child.parent.run, second.initial_version) == (second, first, child.parent)
    assert child.evaluation["total_return"] == 0.25
    unpublished = TrainingEvent.objects.filter(published_at=None)
    assert [event.event_type for event in unpublished] == ["btc_hourly.training.completed"]


def test_upgrade_makes_rules_roles_and_totals():
    kinds = list(AlertRule.objects.filter(policy__name="btc_hourly").values_list("kind", flat=True))
    assert sorted(kinds) == sorted(POLICY_KINDS)
    assert set(AlertRule.objects.filter(policy=None).values_list("kind", flat=True)) == set(SYSTEM_KINDS)
    assert {"traders", roles.VIEWER, roles.OPERATOR, roles.ADMIN} == set(Group.objects.values_list("name", flat=True))
    totals = RunTotal.objects.filter(policy__name="btc_hourly").values_list("status", "measure", "bound", "runs")
    assert set(totals) == {
        ("succeeded", "duration", "30", 2),
        ("failed", "duration", "30", 1),
        ("succeeded", "reward", "0.2", 2),
    }


def test_schema_is_that_of_the_models():
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    call_command("migrate", "--check", verbosity=0)


def test_schema_is_that_of_a_new_database(new_schema):
    assert schema() == new_schema


def test_migrations_are_those_that_a_restore_requires():
    applied = {f"{app}.{name}" for app, name in MigrationRecorder(connection).applied_migrations()}
    assert rows.migrations() <= applied


@pytest.mark.parametrize("path", API)
def test_api_answers_with_old_token(path, streams):
    response = Client().get(f"/api/v1/{path}", headers={"Authorization": f"Token {first_release.TOKEN}"})
    assert response.status_code == 200, response.content


def test_token_is_kept_as_a_digest_without_an_end():
    [token] = ApiToken.objects.all()
    assert (token.user.username, token.hint, token.expires_at) == ("ann", "01234567", None)
    assert first_release.TOKEN not in repr(ApiToken.objects.values())
    assert "authtoken_token" not in connection.introspection.table_names()


def test_open_session_stays_open(streams):
    client = Client()
    client.cookies["sessionid"] = first_release.SESSION
    assert [client.get(path).status_code for path in ("/", "/admin/", "/api/v1/runs/", "/accounts/")] == [200] * 4


@pytest.mark.parametrize("path", PAGES)
def test_pages_show_old_rows(path, client, streams):
    response = client.get(path)
    assert response.status_code == 200, response.content


@pytest.mark.parametrize("model", list(admin.site._registry), ids=lambda model: model.__name__)
def test_admin_shows_old_rows(model, client, streams):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    for row in model._default_manager.all()[:5]:
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_old_settings_can_be_edited_by_key():
    call_command("policystore", "set", "btc_hourly.ppo.gamma", "0.95")
    assert PolicyStore.objects.get(name="btc_hourly").training_config().ppo.gamma == 0.95
