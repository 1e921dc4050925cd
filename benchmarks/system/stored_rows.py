"""Rows and messages for a measurement on a throw-away database. Importing this module requires django.setup()."""

from datetime import timedelta

from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from django.utils.crypto import get_random_string
from tqdm import tqdm

from quantum_trader.redis_clients import redis_client
from rl_training.accounts import tokens
from rl_training.models import PolicyStore

RUNS_AT_ONCE = 100_000
INSERT_RUNS = """
INSERT INTO rl_training_trainingrun (
    run_id, policy_id, status, trigger, scheduled_for, queued_at, sent_at, started_at, finished_at, heartbeat_at,
    attempt, workers_lost, episodes, episodes_done, config, market_summary, duration_seconds, avg_reward, final_reward,
    avg_policy_loss, avg_value_loss, environment_steps, iterations_done, episode_rewards, error, traceback
)
SELECT
    lpad(to_hex(number), 12, '0'), (%s::bigint[])[1 + number %% %s],
    CASE WHEN failed THEN 'failed' ELSE 'succeeded' END, 'schedule',
    slot, slot, slot, slot, slot + interval '3 seconds', slot,
    1, 0, 2, CASE WHEN failed THEN 0 ELSE 2 END, %s::jsonb, NULL, 3.0,
    CASE WHEN NOT failed THEN 0.01 END, CASE WHEN NOT failed THEN 0.02 END,
    CASE WHEN NOT failed THEN -0.003 END, CASE WHEN NOT failed THEN 0.4 END,
    CASE WHEN failed THEN 0 ELSE 262144 END, CASE WHEN failed THEN 0 ELSE 8 END,
    CASE WHEN failed THEN '[]'::bytea ELSE '[0.01, 0.02]'::bytea END,
    CASE WHEN failed THEN 'prices.csv, row 7: close is above high' ELSE '' END, ''
FROM (
    SELECT number, number %% %s = 0 AS failed,
        timestamptz '2020-01-01 00:00:00+00' + number * interval '1 minute' AS slot
    FROM generate_series(%s, %s) AS number
) AS runs
"""


def empty(policies: int) -> None:
    """Delete all runs and messages, and store `policies` default policies whose next slot is in half an hour."""
    redis_client().flushall()
    names = ["rl_v3", *(f"policy_{number}" for number in range(1, policies))]
    slot = timezone.now() + timedelta(minutes=30)
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE rl_training_policystore CASCADE")
        PolicyStore.objects.bulk_create([PolicyStore(name=name, next_run_at=slot) for name in names], batch_size=1000)
        cursor.execute("VACUUM ANALYZE")


def store_runs(total: int, at_once: int = RUNS_AT_ONCE) -> None:
    """Add finished runs of `rl_v3`, one per minute from 2020 on, every tenth failed, until there are `total`."""
    policy = PolicyStore.objects.get(name="rl_v3")
    config = policy.training_config(episodes=2)
    numbers = range(policy.runs.count(), total)
    insert_runs([policy.pk], config.model_dump_json(), numbers, fails_every=10, at_once=at_once)
    finished = policy.runs.finished()
    succeeded = finished.filter(status="succeeded").count()
    PolicyStore.objects.update(total_runs=finished.count(), succeeded_runs=succeeded)
    vacuum()


def insert_runs(
    policies: list[int], config: str, numbers: range, fails_every: int, at_once: int = RUNS_AT_ONCE
) -> None:
    """Insert a finished run for each number, with the policies in turn.

    policies     primary keys
    config       the runs' config, as JSON
    fails_every  runs with a multiple of this number have failed
    at_once      runs per statement
    """
    for first in tqdm(numbers[::at_once], "storing runs", disable=None):
        last = min(first + at_once, numbers.stop) - 1
        with connection.cursor() as cursor:
            cursor.execute(INSERT_RUNS, [policies, len(policies), config, fails_every, first, last])


def vacuum() -> None:
    """Let PostgreSQL finish its housekeeping now, so that it does not disturb a measurement."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def api_token() -> str:
    """Return the API token of a user without permissions."""
    user, _ = User.objects.get_or_create(username="benchmark")
    return token_of(user)


def token_of(user: User) -> str:
    """Return a new API token of the user."""
    return tokens.create(user, get_random_string(8), second_factor=False)[1]
