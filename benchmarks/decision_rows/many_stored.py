"""Pages and endpoints with many stored decisions."""

import time
from collections.abc import Iterator

from django.db import connection

from benchmarks.decision_rows.growing_file import wait_for_decisions
from benchmarks.decision_rows.service import REQUESTS, p95, policy_on
from benchmarks.pages import percentile, request
from benchmarks.results.figures import Figure
from benchmarks.system.running_system import RunningSystem
from benchmarks.system.stored_pages import session
from benchmarks.version_rows.deployed import Client
from benchmarks.version_rows.stored_versions import admin_tokens
from rl_training.models import Decision, Fallback, PolicyStore


def measure(system: RunningSystem, decisions: int) -> Iterator[Figure]:
    """Store many decisions of one account, and measure the pages and endpoints that show them."""
    policy, file = policy_on("stored", 4)
    with system.start("web", "decide"):
        wait_for_decisions(file.catch_up(), 1)
        newest = Decision.objects.filter(policy=policy, arm__kind="live").latest("bar_opened_at")
        # Storing takes minutes without a new bar, and a guard would conclude that the market has stopped.
        PolicyStore.objects.filter(pk=policy.pk).update(fallback=Fallback.NONE)
        store_before(newest, decisions)
        wait_for_decisions(file.catch_up(), 1)
        client, cookie = Client(system.web_port, admin_tokens(1)[0]), session()
        for path, limit in (("stored/decision", 15), ("stored/decisions/", 150), ("stored/accounts/", 150)):
            taken = []
            for number in range(REQUESTS):
                if number % 50 == 0:
                    opened_at, _ = file.append()
                    wait_for_decisions(opened_at, 1)
                started = time.perf_counter()
                client.request("GET", path)
                taken.append(1000 * (time.perf_counter() - started))
            yield Figure(f"GET {path}, {decisions:,} decisions, 95th percentile", p95(taken), "ms", at_most=limit)
        for page in ("/policies/stored/decisions/", "/"):
            taken = request(system.web_port, page, cookie)
            yield Figure(f"{page}, {decisions:,} decisions, 95th percentile", percentile(taken), "ms", at_most=150)


def store_before(newest: Decision, decisions: int) -> None:
    """Store decisions of the account of `newest`, before `newest` and a second apart, by one statement."""
    columns = [str(field.column) for field in Decision._meta.concrete_fields if field.column != "id"]
    made = {
        "decision_id": "gen_random_uuid()",
        **{name: f"{name} - n * interval '1 second'" for name in ("bar_opened_at", "bar_closed_at", "decided_at")},
    }
    selected = ", ".join(made.get(column, column) for column in columns)
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 0")
        cursor.execute(
            f"INSERT INTO rl_training_decision ({', '.join(columns)}) SELECT {selected} "
            f"FROM rl_training_decision, generate_series(1, %s) AS n WHERE rl_training_decision.id = %s",
            [decisions, newest.pk],
        )
        cursor.execute("ANALYZE rl_training_decision")
