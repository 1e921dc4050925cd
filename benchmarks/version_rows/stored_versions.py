"""Versions, deployments and users for `benchmarks.versions`. Importing this module requires django.setup()."""

from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from benchmarks.system.stored_rows import insert_runs, token_of, vacuum
from rl_training.core.evaluation.comparison import ComparedPolicy, compare
from rl_training.core.market.sources import load_market
from rl_training.core.trading.features import FeatureStatistics
from rl_training.models import (
    ComparedVersion,
    Comparison,
    Deployment,
    PolicyStore,
    PolicyVersion,
    TrainingRun,
)

INSERT_DEPLOYMENTS = """
INSERT INTO rl_training_deployment (
    id, policy_id, action, version_id, pinned, at, actor, actor_name, approved_by, reason, previous_id
)
SELECT
    number, (%(policies)s::bigint[])[1 + number %% %(count)s], 'promote',
    (%(versions)s::bigint[])[1 + number %% %(count)s], false,
    timestamptz '2000-01-01 00:00:00+00' + number * interval '1 second', 'user', 'benchmark', '',
    'It earns more.', CASE WHEN number >= %(count)s THEN number - %(count)s END
FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
"""
AT_ONCE = 100_000


def store_versions(policy: PolicyStore, versions: int) -> None:
    """Store a finished run and a version of the policy for each number from 1 on."""
    config = policy.training_config(episodes=2).model_dump_json()
    first = TrainingRun.objects.count() * 2
    insert_runs([policy.pk], config, range(first, first + versions), fails_every=10**9)
    runs = policy.runs.filter(version=None).order_by("pk").values_list("pk", "finished_at")
    PolicyVersion.objects.bulk_create(
        (
            PolicyVersion(
                policy=policy,
                number=number,
                run_id=run,
                created_at=finished_at or timezone.now(),
                artifact=f"{policy.name}/{number}",
                sha256=f"{number:064x}",
                evaluation={},
                market="sp500",
                held_out_bars=1000,
                held_out_return=number % 97 / 1000,
                sharpe=number % 89 / 100,
                max_drawdown=0.1,
                turnover=12.0,
                time_in_market=0.5,
            )
            for number, (run, finished_at) in enumerate(runs, start=1)
        ),
        batch_size=1000,
    )


class RandomPolicy:
    """Holds random positions: the page of a comparison is as large whatever the versions decide."""

    def __init__(self, seed: int, positions: int) -> None:
        self._generator, self._positions = np.random.default_rng(seed), positions

    def predict(self, observations: Any, deterministic: bool = True) -> Any:
        return self._generator.integers(self._positions, size=len(observations))


def store_comparison(policy: PolicyStore, versions: int) -> str:
    """Store a finished comparison of the policy's newest versions, and return its id."""
    config = policy.training_config(episodes=2)
    environment, market = config.environment, load_market(config.market)
    bars = round(len(market) * config.market.train_fraction)
    statistics, last = FeatureStatistics.fit(market[:bars], environment), market.timestamp[bars - 1]
    chosen = list(policy.versions.order_by("-number")[:versions])
    random = [RandomPolicy(seed, len(environment.positions)) for seed in range(versions)]
    found = compare(
        [
            ComparedPolicy(str(version), positions, environment, statistics, last)
            for version, positions in zip(chosen, random, strict=True)
        ],
        market,
        config.market,
    )
    comparison = Comparison.objects.create(
        size=versions,
        market=config.market.label,
        status="succeeded",
        started_at=timezone.now(),
        finished_at=timezone.now(),
        bars=found.bars,
        bars_first=found.span[0],
        bars_last=found.span[1],
        bars_digest=found.digest,
        result=found.as_dict(),
    )
    for place, version in enumerate(chosen):
        ComparedVersion.objects.create(comparison=comparison, version=version, place=place)
    return str(comparison.comparison_id)


def store_deployments(policies: list[PolicyStore], deployments: int) -> None:
    """Store deployments of the policies' first versions, one each second from 2000 on, the policies in turn.

    Rows in this number are inserted by SQL. `Deployment` itself can only be written by `versions/deployments.py`.
    """
    versions = dict(PolicyVersion.objects.filter(number=1).values_list("policy", "pk"))
    pks = [policy.pk for policy in policies]
    for first in range(0, deployments, AT_ONCE):
        last = min(first + AT_ONCE, deployments) - 1
        values: dict[str, Any] = {"policies": pks, "versions": [versions[pk] for pk in pks], "count": len(pks)}
        with connection.cursor() as cursor:
            cursor.execute(INSERT_DEPLOYMENTS, values | {"first": first, "last": last})
    with connection.cursor() as cursor:
        table = Deployment._meta.db_table
        cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [table, deployments])
    vacuum()


def admin_tokens(users: int) -> list[str]:
    """Return the API tokens of this many users who may change what is live."""
    made = [User.objects.get_or_create(username=f"admin_{number}", is_superuser=True)[0] for number in range(users)]
    return [token_of(user) for user in made]
