"""Removal of the details of old runs, and of the rows of much older ones.

Counters and totals are rows of their own, so they stay: the summary still counts every run. A row that another row
needs is kept, with its run and its version. A version that was continued by a later one is no such row: the later
version notes where it came from.

A walk through the old runs of each policy continues where the last call ended, so each call reads few rows. Redis holds
its place; without that, it begins anew.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

import structlog
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, ForeignObjectRel, OuterRef, Q, TextField, Value
from django.db.models.functions import Coalesce, Concat

from quantum_trader.redis_clients import redis_client
from rl_training.core.evaluation.equity_curves import without_curves
from rl_training.models import PolicyStore, PolicyVersion, SlotRange, TrainingEvent, TrainingRun
from rl_training.streams import relay
from rl_training.versions.deployments import lock

log = structlog.get_logger(__name__)

# The last policy that a call looked at, and for each policy the place of its walks.
POLICY_CHECKED, RUNS_CHECKED = "quantum_trader:runs_policy", "quantum_trader:runs_checked"
# Policies that one call looks at, and runs of each.
POLICIES, BATCH = 20, 500
BEGINNING = "1970-01-01T00:00:00+00:00"
# No entry of a stream is older.
NEVER = datetime.fromisoformat(BEGINNING)
NO_DETAILS: dict[str, Any] = {"curve": None, "episode_rewards": [], "computing_environment": None, "traceback": ""}
# Relations to a version that do not keep it: the rows note it in words instead.
NOTED = {("PolicyVersion", "parent"), ("TrainingRun", "initial_version"), ("TrainingRun", "started_from")}


def remove_old() -> tuple[int, int]:
    """Remove rows and details of old runs, and return the numbers of these runs.

    The newest `settings.RUNS_KEPT` runs of each policy keep their rows, and the newest `settings.RUN_DETAILS_KEPT`
    their details. So do runs that have not ended, and those whose version has its weights or is needed by another row.
    """
    first = int(cast(str, redis_client().get(POLICY_CHECKED) or "0"))
    policies = list(PolicyStore.objects.filter(pk__gt=first).order_by("pk")[:POLICIES])
    rows = sum(_walk(policy, "rows", settings.RUNS_KEPT, _remove_rows) for policy in policies)
    details = sum(_walk(policy, "details", settings.RUN_DETAILS_KEPT, _remove_details) for policy in policies)
    redis_client().set(POLICY_CHECKED, policies[-1].pk if len(policies) == POLICIES else 0)
    if rows or details:
        log.info("Deleted old runs", number=rows, without_details=details)
    return rows, details


def _walk(policy: PolicyStore, kind: str, kept: int, remove: Callable[[PolicyStore, list[int]], int]) -> int:
    """Call `remove` with the next runs that are older than the newest `kept` ones; return what it returns."""
    newest = policy.runs.order_by("-queued_at").values_list("queued_at", flat=True)
    border = newest[kept - 1 : kept].first()
    if border is None:
        return 0
    place = f"{kind}:{policy.pk}"
    after = datetime.fromisoformat(cast(str, redis_client().hget(RUNS_CHECKED, place) or BEGINNING))
    old = policy.runs.filter(queued_at__gte=after, queued_at__lt=border).order_by("queued_at", "pk")
    found = [*old.values_list("pk", "queued_at")[:BATCH]]
    removed = remove(policy, [pk for pk, _ in found]) if found else 0
    # Runs that were queued at the same time are read again.
    if len(found) == BATCH and found[-1][1] > after:
        redis_client().hset(RUNS_CHECKED, place, found[-1][1].isoformat())
    else:
        redis_client().hdel(RUNS_CHECKED, place)
    return removed


def _unneeded(runs: list[int]) -> Any:
    """Select those of the runs with these ids that have ended, with versions without weights that no row needs."""
    versions = PolicyVersion.objects.filter(run=OuterRef("pk"))
    kept = versions.filter(~Q(artifact="") | Q(weights_removed_at=None) | _is_needed())
    return TrainingRun.objects.filter(pk__in=runs, finished_at__isnull=False).filter(~Exists(kept))


def _removable(runs: list[int]) -> Any:
    """Select those of the runs with these ids whose rows nothing needs."""
    waiting = TrainingEvent.objects.filter(run=OuterRef("pk"), published_at=None)
    return _unneeded(runs).filter(~Exists(waiting))


def _is_needed() -> Q:
    """Return the condition that a row refers to a version, other than by the relations of NOTED."""
    needed = Q()
    for relation in PolicyVersion._meta.get_fields(include_hidden=True):
        if isinstance(relation, ForeignObjectRel) and not relation.many_to_many:
            model, field = relation.related_model, relation.field
            if (model.__name__, field.name) not in NOTED:
                needed |= Q(Exists(model._default_manager.filter(**{field.name: OuterRef("pk")})))
    return needed


def _remove_details(policy: PolicyStore, runs: list[int]) -> int:
    with transaction.atomic():
        found = [*_unneeded(runs).exclude(**NO_DETAILS).values_list("pk", flat=True)]
        if found:
            TrainingRun.objects.filter(pk__in=found).update(**NO_DETAILS)
            versions = [*PolicyVersion.objects.filter(run__in=found).only("evaluation")]
            for version in versions:
                version.evaluation = without_curves(version.evaluation)
            PolicyVersion.objects.bulk_update(versions, ["evaluation"])
    return len(found)


def _remove_rows(policy: PolicyStore, runs: list[int]) -> int:
    """Remove the rows of runs with all that belongs to them. Deployments wait for the lock of the policy's row.

    The entries of their events are removed from the streams first, so that an interrupted removal is repeated. A run
    with an event that is not published yet stays.
    """
    relay.remove(TrainingEvent.objects.filter(run__in=_removable(runs)), before=NEVER)
    with transaction.atomic():
        lock(policy)
        found = dict(_removable(runs).values_list("pk", "queued_at"))
        if not found:
            return 0
        versions = dict(PolicyVersion.objects.filter(run__in=found).values_list("pk", "number"))
        for pk, number in versions.items():
            _note(pk, number)
        slots = SlotRange.objects.filter(policy=policy)
        end = max(found.values())
        delete(slots.filter(Q(run__in=found) | Q(run=None, first_slot__lt=end, last_slot__lt=end)))
        apps.get_model("alerts", "Alert")._default_manager.filter(run__in=found).update(run=None)
        delete(TrainingEvent.objects.filter(run__in=found))
        delete(apps.get_model("rl_training", "IdempotencyKey")._default_manager.filter(run__in=found))
        delete(PolicyVersion.objects.filter(pk__in=versions))
        delete(TrainingRun.objects.filter(pk__in=found))
    return len(found)


def _note(version: int, number: int) -> None:
    """Replace the references to a version by a note in the runs that started from it, or were to."""
    started = TrainingRun.objects.filter(started_from=version)
    note = Value(f"Started from version {number}, whose row was removed since. ", TextField())
    written = Coalesce("start_note", Value("", TextField()))
    started.update(start_note=Concat(note, written), started_from=None)
    planned = TrainingRun.objects.filter(initial_version=version)
    never = f"Was to start from version {number}, whose row was removed since."
    planned.filter(start_note=None).update(start_note=never)
    planned.update(initial_version=None)
    PolicyVersion.objects.filter(parent=version).update(parent=None)


def delete(rows: Any) -> None:
    """Delete rows in one statement, without first reading what refers to them: the caller has taken care of that."""
    rows._raw_delete(rows.db)
