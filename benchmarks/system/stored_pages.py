"""The rows and the session for the requests of `benchmarks.pages`. Importing this module requires django.setup()."""

import math
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore

from benchmarks.system.stored_rows import vacuum
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun

RUNS_OF_OTHER_POLICIES = 10
CURVE_POINTS = 1_000
START = datetime(2020, 1, 1, tzinfo=UTC)


def store_runs_of_other_policies_and_a_version() -> str:
    """Store a few runs of each policy but `rl_v3`, and a version of `rl_v3`; return the run_id of the version's run."""
    others = PolicyStore.objects.exclude(name="rl_v3").values_list("pk", flat=True)
    TrainingRun.objects.bulk_create(
        (
            TrainingRun(
                policy_id=pk,
                status="succeeded",
                trigger="schedule",
                episodes=2,
                episodes_done=2,
                config={},
                queued_at=START + timedelta(hours=number),
                finished_at=START + timedelta(hours=number, seconds=3),
                duration_seconds=3.0,
                environment_steps=8192,
            )
            for pk in others
            for number in range(RUNS_OF_OTHER_POLICIES)
        ),
        batch_size=1000,
    )
    run = TrainingRun.objects.filter(policy__name="rl_v3", status="succeeded").order_by("-queued_at")[0]
    PolicyVersion.objects.create(
        policy=run.policy, number=1, run=run, artifact="a", sha256="b" * 64, evaluation=evaluation()
    )
    vacuum()
    return run.run_id


def evaluation() -> dict[str, object]:
    """Return an evaluation with long equity curves."""
    curve = [1 + 0.1 * math.sin(point / 50) for point in range(CURVE_POINTS)]
    account = {"total_return": 0.1, "sharpe": 0.5, "sharpe_interval": [0.1, 0.9], "equity_curve": curve}
    stamps = [f"{START + timedelta(days=point):%Y-%m-%dT%H:%M:%SZ}" for point in range(CURVE_POINTS)]
    return account | {"bars": CURVE_POINTS, "timestamps": stamps, "buy_and_hold": account, "flat": account}


def session() -> str:
    """Return the session key of a signed-in superuser."""
    user, _ = User.objects.get_or_create(username="benchmark", is_superuser=True)
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    return str(store.session_key)
