"""Removal of the details of old runs, and of the rows of much older ones.

Counters and totals are rows of their own, so they stay: the summary still counts every run. A run and its version stay
while another row needs the version. A later version that continued from the version does not need it: a note in the
later run says where it came from.

Each call continues where the last call ended, so it reads few rows. Redis holds the position; without the position, the
walk through the runs begins anew.
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

# The last policy that a call checked, and for each policy the positions in its runs.
POLICY_CHECKED, RUNS_CHECKED = "quantum_trader:runs_policy", "quantum_trader:runs_checked"
# The number of policies that one call checks, and of runs of each policy.
POLICIES, BATCH = 20, 500
BEGINNING = "1970-01-01T00:00:00+00:00"
# A time before all entries of the streams.
NEVER = datetime.fromisoformat(BEGINNING)
NO_DETAILS: dict[str, Any] = {"curve": None, "episode_rewards": [], "computing_environment": None, "traceback": ""}
# Relations to a version that do not keep the version: a note in words replaces them.
NOTED = {("PolicyVersion", "parent"), ("TrainingRun", "initial_version"), ("TrainingRun", "started_from")}


def remove_old() -> tuple[int, int]:
    """Remove rows and details of old runs, and return the number of runs without rows and without details.

    The newest `settings.RUNS_KEPT` runs of each policy keep their rows, and the newest `settings.RUN_DETAILS_KEPT`
    their details. Runs that have not ended keep both, and runs whose version has its weights or is needed by another
    row.
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
    """Call `remove` with the next runs that are older than the newest `kept` runs; return its result."""
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
    """Select those of the runs with these ids that have ended and whose version, if any, has no weights and no use."""
    versions = PolicyVersion.objects.filter(run=OuterRef("pk"))
    kept = versions.filter(~Q(artifact="") | Q(weights_removed_at=None) | _is_needed())
    return TrainingRun.objects.filter(pk__in=runs, finished_at__isnull=False).filter(~Exists(kept))


def _removable(runs: list[int]) -> Any:
    """Select those of the runs with these ids whose rows can be removed."""
    waiting = TrainingEvent.objects.filter(run=OuterRef("pk"), published_at=None)
    return _unneeded(runs).filter(~Exists(waiting))


def _is_needed() -> Q:
    """Return the condition that a row refers to a version by a relation that is not in NOTED."""
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
    """Remove the rows of runs and the rows that belong to them. The policy's lock keeps deployments waiting.

    The stream entries of the runs' events are removed first, so that an interrupted removal is repeated. A run with an
    event that is not published yet stays.
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
    """Replace the references to a version by a note in the runs that started or would have started from it."""
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
    """Delete rows in one statement. The caller has already handled all rows that refer to them."""
    rows._raw_delete(rows.db)
