"""A database as the first release left it: its schema, with rows in every table, written without the models."""

import json
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.core.management.sql import emit_post_migrate_signal
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader

# The migrations of the first release. Its apps `alerts`, `django_filters` and `drf_spectacular` did not exist.
RELEASED = {
    "rl_training": "0002_policy_rl_v3",
    "admin": "0003_logentry_add_action_flag_choices",
    "auth": "0012_alter_user_first_name_max_length",
    "contenttypes": "0002_remove_content_type_name",
    "sessions": "0001_initial",
}
# The table of its app rest_framework.authtoken.
AUTHTOKEN = """
CREATE TABLE authtoken_token (
    key varchar(40) NOT NULL PRIMARY KEY, created {time} NOT NULL,
    user_id integer NOT NULL UNIQUE REFERENCES auth_user (id) DEFERRABLE INITIALLY DEFERRED
)
"""
# The columns of a policy with the default values of the first release.
MARKET = {"source": "sp500", "path": "", "train_fraction": 0.8}
ENVIRONMENT = {
    "episode_length": 256,
    "positions": [-1.0, 0.0, 1.0],
    "fee": 0.0005,
    "slippage": 0.0001,
    "borrow_rate": 0.0,
    "funding_rate": 0.0,
    "ruin_fraction": 0.01,
    "features": ["log_return_1", "rsi_14", "volume_zscore_20"],
}
PPO = {
    "learning_rate": 0.0003,
    "anneal_learning_rate": True,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "clip_range": 0.2,
    "epochs": 4,
    "minibatch_size": 512,
    "entropy_coefficient": 0.01,
    "value_coefficient": 0.5,
    "max_grad_norm": 0.5,
    "target_kl": 0.0,
    "hidden_sizes": [64, 64],
    "num_envs": 32,
    "rollout_length": 128,
    "normalize_observations": False,
    "normalize_rewards": True,
    "device": "auto",
}
CONFIG = {"market": MARKET, "environment": ENVIRONMENT, "ppo": PPO, "episodes": 2, "seed": 7}
SETTINGS = {
    "name": "btc_hourly",
    "enabled": True,
    "interval_minutes": 15,
    "episodes_per_run": 3,
    "market": MARKET,
    "environment": ENVIRONMENT,
    "ppo": PPO,
}
SESSION = "a" * 32
TOKEN = "0123456789abcdef0123456789abcdef01234567"
EVENTS = {"started": "1" * 32, "completed": "2" * 32}


def performance(total_return: float) -> dict[str, Any]:
    return {
        "total_return": total_return,
        "sharpe": 0.4,
        "sharpe_interval": [-0.6, 1.4],
        "sortino": None,
        "max_drawdown": 0.1,
        "turnover": 3.0,
        "time_in_market": 0.5,
        "costs_paid": 0.002,
        "hit_rate": None,
        "equity_curve": [1.0, 1.0 + total_return],
    }


EVALUATION = performance(0.25) | {
    "bars": 2,
    "annualisation": 252.0,
    "timestamps": ["2018-01-02T00:00:00Z", "2018-01-03T00:00:00Z"],
    "buy_and_hold": performance(0.5),
    "flat": performance(0.0),
}


def insert(table: str, key: str = "id", /, **columns: Any) -> Any:
    """Insert a row and return its primary key; dictionaries and lists are stored as JSON."""
    values = [json.dumps(value) if isinstance(value, dict | list) else value for value in columns.values()]
    names = ", ".join(f'"{name}"' for name in columns)
    places = ", ".join(["%s"] * len(values))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({places}) RETURNING {key}", values)
        return cursor.fetchone()[0]


def count(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM "{table}"')
        return int(cursor.fetchone()[0])


def first_id(table: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT min(id) FROM {table}")
        return int(cursor.fetchone()[0])


def create() -> None:
    """Migrate the empty database of the connection to the first release, and insert rows into all tables."""
    executor = MigrationExecutor(connection)
    # The first release had the migrations that squashed ones now replace.
    executor.loader = MigrationLoader(connection, replace_migrations=False)
    released = executor.migrate(list(RELEASED.items()))
    emit_post_migrate_signal(verbosity=0, interactive=False, db="default", apps=released.apps)
    with connection.cursor() as cursor:
        cursor.execute(AUTHTOKEN.format(time=connection.data_types["DateTimeField"]))
    user = insert_user()
    policy = insert("rl_training_policystore", **SETTINGS, **BOOKKEEPING)
    history = {"id": policy, "history_date": "2026-11-22 08:00:00", "history_type": "+", "history_user_id": user}
    insert("rl_training_historicalpolicystore", "history_id", **SETTINGS, **history)
    insert_runs(policy)


BOOKKEEPING = {
    "updated_at": "2026-11-22 08:00:00",
    "next_run_at": "2026-11-22 10:00:00",
    "total_runs": 3,
    "succeeded_runs": 2,
    "schedule_error": "",
}


def insert_user() -> int:
    """Insert a superuser with a group, permissions, a session, a token and an entry in the admin's log."""
    account = {"username": "ann", "password": "!", "first_name": "", "last_name": "", "email": "ann@example.org"}
    rights = {"is_superuser": True, "is_staff": True, "is_active": True}
    user: int = insert("auth_user", **account, **rights, date_joined="2026-11-22 07:00:00")
    group, permission = insert("auth_group", name="traders"), first_id("auth_permission")
    insert("auth_group_permissions", group_id=group, permission_id=permission)
    insert("auth_user_groups", user_id=user, group_id=group)
    insert("auth_user_user_permissions", user_id=user, permission_id=permission)
    insert("authtoken_token", "key", key=TOKEN, created="2026-11-22 07:00:00", user_id=user)
    login = {SESSION_KEY: str(user), BACKEND_SESSION_KEY: "django.contrib.auth.backends.ModelBackend"}
    login[HASH_SESSION_KEY] = User(password=account["password"]).get_session_auth_hash()
    session = {"session_data": SessionStore().encode(login), "expire_date": "2100-01-01 00:00:00"}
    insert("django_session", "session_key", session_key=SESSION, **session)
    insert(
        "django_admin_log",
        action_time="2026-11-22 07:00:00",
        object_id="1",
        object_repr="rl_v3",
        action_flag=2,
        change_message="[]",
        content_type_id=first_id("django_content_type"),
        user_id=user,
    )
    return user


def insert_runs(policy: int) -> None:
    """Insert a run of each status but `cancelled`, two versions, the second a child of the first, and two events."""
    ended = {"started_at": "2026-11-22 08:00:01", "finished_at": "2026-11-22 08:00:31", "duration_seconds": 30.0}
    good = ended | {"avg_reward": 0.125, "final_reward": 0.25, "avg_policy_loss": -0.01, "avg_value_loss": 0.5}
    good |= {"episodes_done": 2, "environment_steps": 16384, "episode_rewards": [0.0, 0.25]}
    first = insert_run(policy, "aaaaaaaaaaaa", "succeeded", trigger="command", **good)
    version = insert_version(policy, first, 1)
    second = insert_run(policy, "bbbbbbbbbbbb", "succeeded", initial_version_id=version, **good)
    insert_version(policy, second, 2, parent_id=version)
    failed = {"error": "no bars", "traceback": "Traceback: no bars"}
    insert_run(policy, "cccccccccccc", "failed", scheduled_for="2026-11-22 09:00:00", **ended, **failed)
    beats = {"started_at": "2026-11-22 09:00:00", "heartbeat_at": "2026-11-22 09:00:02", "attempt": 1}
    insert_run(policy, "dddddddddddd", "running", sent_at="2026-11-22 09:00:00", **beats)
    insert_run(first_id("rl_training_policystore"), "eeeeeeeeeeee", "queued")
    for kind, published_at in (("started", "2026-11-22 08:00:02"), ("completed", None)):
        insert(
            "rl_training_trainingevent",
            event_id=EVENTS[kind],
            event_type=f"btc_hourly.training.{kind}",
            timestamp="2026-11-22 08:00:01",
            payload={"run_id": "aaaaaaaaaaaa"},
            published_at=published_at,
            run_id=first,
        )


def insert_run(policy: int, run_id: str, status: str, **columns: Any) -> int:
    row = {
        "trigger": "schedule",
        "queued_at": "2026-11-22 08:00:00",
        "attempt": 1,
        "episodes": 2,
        "episodes_done": 0,
        "config": CONFIG,
        "environment_steps": 0,
        "episode_rewards": [],
        "error": "",
        "traceback": "",
    }
    key: int = insert("rl_training_trainingrun", run_id=run_id, status=status, policy_id=policy, **row | columns)
    return key


def insert_version(policy: int, run: int, number: int, parent_id: int | None = None) -> int:
    key: int = insert(
        "rl_training_policyversion",
        number=number,
        created_at="2026-11-22 08:00:31",
        artifact=f"btc_hourly/{number}",
        sha256=str(number) * 64,
        evaluation=EVALUATION,
        parent_id=parent_id,
        policy_id=policy,
        run_id=run,
    )
    return key
