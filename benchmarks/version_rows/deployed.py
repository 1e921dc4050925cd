"""Deployments under load, over HTTP: `live` at random times, many clients that promote at once, and a rollback."""

import http.client
import json
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

from benchmarks.results.figures import Figure
from benchmarks.system.running_system import LOCAL, RunningSystem
from tests.waiting import wait_for

DEPLOYMENTS, POLICIES, REQUESTS = 1_000_000, 1_000, 500
PROMOTIONS, CLIENTS = 1_000, 8
ROLLBACKS = 10
VERSIONS, COMPARED = 10_000, 8
CHANGES = "rl_v3.deployment.changed"
START = datetime(2000, 1, 1, tzinfo=UTC)


class Client:
    """A client of the API on one connection."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection(LOCAL, port)
        self._headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON of the answer. Raises RuntimeError for an error status."""
        content = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1/policies/{path}", content, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path} answered {answer.status}: {text[:500]!r}")
        found: dict[str, Any] = json.loads(text)
        return found


def measure(system: RunningSystem, *, quick: bool) -> Iterator[Figure]:
    """Measure on PostgreSQL, with a tenth of the rows if `quick`."""
    # These modules import models, which requires django.setup().
    from benchmarks.system.stored_rows import empty
    from benchmarks.version_rows.stored_versions import (
        admin_tokens,
        store_comparison,
        store_deployments,
        store_versions,
    )
    from rl_training.models import PolicyStore

    part = 10 if quick else 1
    empty(policies=POLICIES)
    policies = list(PolicyStore.objects.order_by("pk"))
    for policy in policies:
        store_versions(policy, VERSIONS // part if policy.name == "rl_v3" else 1)
    store_deployments(policies, DEPLOYMENTS // part)
    comparison = store_comparison(PolicyStore.objects.get(name="rl_v3"), COMPARED)
    tokens = admin_tokens(CLIENTS)
    with system.start("web"):
        yield live_at_random_times(system.web_port, tokens[0], DEPLOYMENTS // part)
        yield from promotions_at_once(system.web_port, tokens, PROMOTIONS // part)
        yield rollback(system.web_port, tokens[0])
        yield from pages(system, VERSIONS // part, comparison)


def live_at_random_times(port: int, token: str, deployments: int) -> Figure:
    """Measure the endpoint `live?at=` for random policies and times."""
    client, random_times, taken = Client(port, token), random.Random(0), []
    for _ in range(REQUESTS):
        name = f"policy_{random_times.randrange(1, POLICIES)}"
        at = START + timedelta(seconds=random_times.randrange(POLICIES, deployments))
        started = time.perf_counter()
        answer = client.request("GET", f"{name}/live?at={at:%Y-%m-%dT%H:%M:%SZ}")
        taken.append(1000 * (time.perf_counter() - started))
        if answer["version"] != 1:
            raise RuntimeError(f"version {answer['version']} of {name} was live at {at}, not version 1")
    what = f"live at T, {deployments:,} deployments, 95th percentile"
    return Figure(what, statistics.quantiles(taken, n=20)[18], "ms", at_most=25)


def promotions_at_once(port: int, tokens: list[str], promotions: int) -> Iterator[Figure]:
    """Promote versions of one policy by several clients at once, and count the errors in the record."""
    from rl_training.models import Deployment

    begun = Deployment.objects.filter(policy__name="rl_v3").count()

    def promote(client: int) -> None:
        connection = Client(port, tokens[client])
        for number in range(promotions // len(tokens)):
            # No client promotes a version that another one has just made live.
            version = 2 + number * len(tokens) + client
            body = {"action": "promote", "version": version, "reason": f"Promotion of {version}."}
            connection.request("POST", "rl_v3/deployments/", body)

    started = time.perf_counter()
    with ThreadPoolExecutor(len(tokens)) as pool:
        list(pool.map(promote, range(len(tokens))))
    seconds = time.perf_counter() - started
    made = list(Deployment.objects.filter(policy__name="rl_v3").order_by("at"))[begun - 1 :]
    wanted = promotions // len(tokens) * len(tokens)
    wrong = abs(len(made) - 1 - wanted)
    wrong += sum(later.previous_id != earlier.pk or later.at <= earlier.at for earlier, later in pairwise(made))
    reasons = {f"Promotion of {version}." for version in range(2, 2 + wanted)}
    wrong += sum(not row.actor_name for row in made[1:]) + len(reasons ^ {row.reason for row in made[1:]})
    what = f"{wanted:,} promotions by {len(tokens)} clients at once"
    yield Figure(f"{what}: gaps, overlaps, and rows without actor or reason", wrong, "rows", at_most=0)
    yield Figure(f"{what}: throughput", wanted / seconds, "promotions/s")


def rollback(port: int, token: str) -> Figure:
    """Measure the time from a rollback until the API and the stream of events show it."""
    from rl_training.streams import entries

    client, taken = Client(port, token), []
    for _ in range(ROLLBACKS):
        announced = partial(is_announced, len(entries.stored(CHANGES)))
        started = time.perf_counter()
        made = client.request("POST", "rl_v3/deployments/", {"action": "roll_back", "reason": "It loses."})
        wait_for(announced, "the event of the rollback", 60)
        if client.request("GET", "rl_v3/live")["version"] != made["version"]:
            raise RuntimeError("the rollback is not live")
        taken.append(time.perf_counter() - started)
    return Figure(f"rollback to live and announced, longest of {ROLLBACKS}", max(taken), "s", at_most=2)


def is_announced(before: int) -> bool:
    """Return whether the stream of changes holds more than `before` entries."""
    from rl_training.streams import entries

    return len(entries.stored(CHANGES)) > before


def pages(system: RunningSystem, versions: int, comparison: str) -> Iterator[Figure]:
    """Measure the list of versions in each order of its first columns, and a comparison of COMPARED versions."""
    from benchmarks.pages import percentile, request
    from benchmarks.system.stored_pages import session

    cookie = session()
    for url in ("", "?sort=held_out_return", "?sort=-sharpe", "?page=3"):
        taken = request(system.web_port, f"/policies/rl_v3/versions/{url}", cookie)
        yield Figure(f"/versions/{url}, {versions:,} versions, 95th percentile", percentile(taken), "ms", at_most=150)
    for what, url in (("page", ""), ("chart", "charts/equity.json")):
        taken = request(system.web_port, f"/comparisons/{comparison}/{url}", cookie)
        name = f"comparison of {COMPARED} versions among {versions:,}, {what}, 95th percentile"
        yield Figure(name, percentile(taken), "ms", at_most=150)
