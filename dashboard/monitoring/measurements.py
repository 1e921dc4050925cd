"""Measurements of the whole system for `/metrics`, read from the database and Redis at each scrape.

All processes store their results in the database or Redis, so any web process can report them. A scrape makes sixteen
queries, whose cost does not grow with the number of runs. If the database or Redis is down, its metrics are omitted and
`database_up` or `redis_up` is 0.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta

import django.db
import redis
from django.conf import settings
from django.db.models import Count, Min, OuterRef, Subquery, Sum
from django.utils import timezone
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from dashboard.monitoring.histograms import histogram
from rl_training.alerts.models import Alert, AlertMessage, Round
from rl_training.models import (
    Arm,
    Deployment,
    Measure,
    PolicyStore,
    PolicyVersion,
    Promotion,
    RunTotal,
    StorageReading,
    TrainingEvent,
    TrainingRun,
    Validation,
)
from rl_training.presence import heartbeats
from rl_training.storage.readings import disks_read
from rl_training.versions.live import live_of

PREFIX = "quantum_trader_"


class SystemCollector(Collector):
    """Collects the metrics of the database and of Redis."""

    def collect(self) -> Iterator[Metric]:
        now = timezone.now()
        yield from _if_available("database", lambda: database_metrics(now), django.db.Error)
        yield from _if_available("redis", redis_metrics, redis.RedisError)


def _if_available(server: str, read: Callable[[], Iterable[Metric]], failure: type[Exception]) -> list[Metric]:
    """Return the metrics of a server, and whether it is up; only the latter if reading raises `failure`."""
    try:
        found = list(read())
    except failure:
        found = []
    return [*found, gauge(f"{server}_up", f"Whether {server} answered this scrape.", bool(found))]


def database_metrics(now: datetime) -> Iterator[Metric]:
    names = dict(PolicyStore.objects.values_list("pk", "name"))
    yield runs_by_status(names)
    yield from histograms()
    yield from active_runs(names, now)
    yield from outbox(now)
    yield from alerts(now)
    yield from policies()
    live = live_of()
    yield from live_versions(names, live, now)
    yield held_back_versions(names, live)
    yield validations()
    yield from decisions(names, now)
    yield from storage(now)


def runs_by_status(names: dict[int, str]) -> Metric:
    found = CounterMetricFamily(PREFIX + "runs", "Runs that ended, by policy and status.", labels=["policy", "status"])
    ended = RunTotal.objects.filter(measure=Measure.DURATION).order_by().values_list("policy", "status")
    for policy, status, runs in ended.annotate(Sum("runs")):
        if policy in names:
            found.add_sample(f"{found.name}_total", {"policy": names[policy], "status": status}, runs)
    return found


def histograms() -> Iterator[Metric]:
    rows = RunTotal.objects.order_by().values_list("measure", "status", "bound").annotate(Sum("runs"), Sum("total"))
    found: dict[str, dict[str, dict[str, tuple[int, float]]]] = {Measure.DURATION: {}, Measure.REWARD: {}}
    for measure, status, bound, runs, total in rows:
        found[measure].setdefault(status, {})[bound] = runs, total
    durations, rewards = found[Measure.DURATION], found[Measure.REWARD]
    yield histogram(PREFIX + "run_duration_seconds", "Durations of runs that ended.", Measure.DURATION, durations)
    yield histogram(
        PREFIX + "run_reward",
        "Average rewards of runs. A reward may be negative, and so may the sum.",
        Measure.REWARD,
        rewards,
    )


def active_runs(names: dict[int, str], now: datetime) -> Iterator[Metric]:
    active = TrainingRun.objects.active().order_by()
    states = dict(active.values_list("status").annotate(Count("pk")))
    oldest = active.filter(status=TrainingRun.Status.QUEUED).aggregate(oldest=Min("queued_at"))["oldest"]
    yield gauge("queued_runs", "Runs that wait for a worker.", states.get("queued", 0))
    yield gauge("running_runs", "Runs that a worker holds.", states.get("running", 0))
    yield gauge("oldest_queued_seconds", "For how long the oldest queued run has waited.", _age(oldest, now))
    speed = family("run_steps_per_second", "Environment steps of a running run over its time so far.", "policy")
    steps = family("run_environment_steps", "Environment steps that a running run has reported.", "policy")
    running = active.filter(status=TrainingRun.Status.RUNNING)
    for policy, done, started in running.values_list("policy", "environment_steps", "started_at"):
        if policy in names:
            seconds = _age(started, now)
            steps.add_metric([names[policy]], done)
            speed.add_metric([names[policy]], done / seconds if seconds else 0.0)
    yield from (speed, steps)


def outbox(now: datetime) -> Iterator[Metric]:
    waiting = TrainingEvent.objects.filter(published_at=None).order_by()
    found = waiting.aggregate(number=Count("pk"), oldest=Min("timestamp"))
    yield gauge("outbox_events", "Events that are not on their Redis stream yet.", found["number"])
    yield gauge(
        "outbox_lag_seconds", "Age of the oldest event that is not on its Redis stream yet.", _age(found["oldest"], now)
    )


def alerts(now: datetime) -> Iterator[Metric]:
    opened = family("open_alerts", "Alerts whose condition holds.", "kind", "acknowledged")
    counted = Alert.objects.open().order_by("kind").values_list("kind")
    for kind, number, acknowledged in counted.annotate(Count("pk"), Count("acknowledged_at")):
        opened.add_metric([kind, "true"], acknowledged)
        opened.add_metric([kind, "false"], number - acknowledged)
    yield opened
    waiting = AlertMessage.objects.waiting().count()
    yield gauge("alert_messages_waiting", "Messages about alerts that are not sent yet.", waiting)
    began = Round.objects.values_list("began_at", flat=True).first()
    if began is not None:
        yield gauge(
            "alert_round_age_seconds", "Time since the rules of the alerts were last evaluated.", _age(began, now)
        )


def policies() -> Iterator[Metric]:
    shown = family("policies", "Policies, by whether the schedule starts runs of them.", "enabled")
    counted = dict(PolicyStore.objects.order_by().values_list("enabled").annotate(Count("pk")))
    for enabled in (True, False):
        shown.add_metric([str(enabled).lower()], counted.get(enabled, 0))
    yield shown


def live_versions(names: dict[int, str], live: dict[int, Deployment], now: datetime) -> Iterator[Metric]:
    number = family("live_version", "The number of a policy's live version, 0 while nothing is live.", "policy")
    age = family("live_version_age_seconds", "Time since the live version of a policy was made.", "policy")
    since = family("deployment_age_seconds", "Time since what is live in a policy was changed last.", "policy")
    for policy, name in names.items():
        deployment = live.get(policy)
        version = deployment.version if deployment else None
        number.add_metric([name], version.number if version else 0)
        if version is not None:
            age.add_metric([name], _age(version.created_at, now))
        if deployment is not None:
            since.add_metric([name], _age(deployment.at, now))
    yield from (number, age, since)


def held_back_versions(names: dict[int, str], live: dict[int, Deployment]) -> Metric:
    held = family("version_held_back", "Whether the gate holds a policy's newest version back.", "policy")
    newest = PolicyVersion.objects.filter(policy=OuterRef("pk")).order_by("-number")
    gated = PolicyStore.objects.filter(promotion=Promotion.VALIDATED).order_by()
    columns = gated.values_list("pk", Subquery(newest.values("pk")[:1]), Subquery(newest.values("held_back")[:1]))
    for policy, version, reason in columns:
        if policy in names:
            deployment = live.get(policy)
            is_live = deployment is not None and deployment.version_id == version
            held.add_metric([names[policy]], bool(reason) and not is_live)
    return held


def validations() -> Metric:
    under_way = family("validations_under_way", "Walk-forwards that have not ended.", "status")
    counted = dict(Validation.objects.active().order_by().values_list("status").annotate(Count("pk")))
    for status in Validation.ACTIVE:
        under_way.add_metric([status], counted.get(status, 0))
    return under_way


def decisions(names: dict[int, str], now: datetime) -> Iterator[Metric]:
    age = family("newest_bar_age_seconds", "Time since the close of the newest bar that a policy decides on.", "policy")
    failures = family("market_failures", "Readings of a policy's market that failed since the last success.", "policy")
    arms = Arm.objects.filter(kind=Arm.Kind.LIVE, ended_at__isnull=True).order_by()
    for policy, newest_at, spacing, failed in arms.values_list(
        "policy", "market__newest_at", "market__spacing", "market__failures"
    ):
        if policy in names:
            failures.add_metric([names[policy]], failed)
            if newest_at is not None:
                age.add_metric([names[policy]], _age(newest_at + timedelta(seconds=spacing), now))
    yield from (age, failures)


def storage(now: datetime) -> Iterator[Metric]:
    used = family("storage_bytes", "Bytes that a part of the system uses, read once an hour.", "part")
    total = family("disk_bytes", "Size of a disk, by the setting of a folder on it.", "disk")
    free = family("disk_free_bytes", "Free bytes of the disk.", "disk")
    full = family("disk_full_seconds", "Time until the disk is full; missing if it does not fill up.", "disk")
    newest = StorageReading.objects.newest()
    for part, size in newest.usage.items() if newest else ():
        used.add_metric([part], size)
    for disk in disks_read(newest) if newest else ():
        total.add_metric([disk.name], disk.total)
        free.add_metric([disk.name], disk.free)
        if disk.full_at is not None:
            full.add_metric([disk.name], max(0.0, (disk.full_at - now).total_seconds()))
    yield from (used, total, free, full)


def redis_metrics() -> Iterator[Metric]:
    ages = {kind: heartbeats.ages(kind) for kind in heartbeats.SILENT_AFTER_SECONDS}
    alive = family("processes_seen", "Processes with a recent heartbeat.", "kind")
    for kind, limit in heartbeats.SILENT_AFTER_SECONDS.items():
        alive.add_metric([kind], sum(age <= limit for age in ages[kind].values()))
    yield alive
    if ages["beat"]:
        yield gauge("beat_tick_age_seconds", "Time since the last tick of any beat.", min(ages["beat"].values()))
    length = family("queue_length", "Messages that wait in a Celery queue.", "queue")
    for queue in (settings.TRAINING_QUEUE, settings.ALERTS_QUEUE, settings.DECISIONS_QUEUE):
        length.add_metric([queue], heartbeats.client().llen(queue))
    yield length


def family(name: str, description: str, *labels: str) -> GaugeMetricFamily:
    """Return a gauge with labels, without samples."""
    return GaugeMetricFamily(PREFIX + name, description, labels=labels)


def gauge(name: str, description: str, value: float) -> GaugeMetricFamily:
    """Return a gauge without labels."""
    return GaugeMetricFamily(PREFIX + name, description, value=value)


def _age(timestamp: datetime | None, now: datetime) -> float:
    """Return the seconds since `timestamp`, 0.0 without one or if it is in the future."""
    return 0.0 if timestamp is None else max(0.0, (now - timestamp).total_seconds())
