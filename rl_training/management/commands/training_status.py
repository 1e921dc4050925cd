import argparse
import json
from collections.abc import Iterator
from functools import reduce
from operator import or_
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import OuterRef, Q, QuerySet, Subquery

from quantum_trader.logs import escape_control_characters
from quantum_trader.timestamps import utc_text
from rl_training import keys
from rl_training.core.words import count_of
from rl_training.models import PolicyStore, TrainingRun
from rl_training.models.columns import LARGE_RUN_COLUMNS
from rl_training.presence import heartbeats
from rl_training.runs.reports import describe_policy

STARTS = ("initial_version", "started_from")
LARGE = (*LARGE_RUN_COLUMNS, *(f"{version}__evaluation" for version in STARTS))


# The number of ended runs that are listed for each policy, and for a policy that the command names.
LAST_RUNS, LAST_RUNS_OF_ONE = 1, 5


class Command(BaseCommand):
    help = "Show each policy's schedule, its active run and how its last run ended."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", nargs="?", help="one policy (default: all)")
        parser.add_argument("--json", action="store_true", help="print a JSON list")

    def handle(self, *, name: str | None, **options: Any) -> None:
        policies = PolicyStore.objects.with_outcome()
        if name is not None:
            try:
                policies = policies.filter(pk=keys.find_policy(name).pk)
            except keys.SettingError as error:
                raise CommandError(str(error), returncode=2) from None
        active = {run.policy_id: run for run in TrainingRun.objects.active().select_related(*STARTS).defer(*LARGE)}
        described = [describe_policy(policy, active.get(policy.pk)) for policy in policies]
        if options["json"]:
            self.stdout.write(json.dumps(described))
            return
        last = last_runs(policies, LAST_RUNS_OF_ONE if name else LAST_RUNS)
        waiting = any(policy["active"] == "queued" for policy in described)
        reason = f": {heartbeats.PREPARING}" if waiting and heartbeats.workers_are_preparing() else ""
        for policy in described:
            for line in [*lines_of(policy, reason), *last.get(policy["policy"], [])]:
                self.stdout.write(escape_control_characters(line))


def last_runs(policies: QuerySet[PolicyStore], of_each: int) -> dict[str, list[str]]:
    """Return lines about the last ended runs, newest first, by the policy's name. Each line has the run's id."""
    ended = TrainingRun.objects.filter(policy=OuterRef("pk"), finished_at__isnull=False).order_by("-finished_at")
    # The database looks up the first, second ... run of each policy, whose runs may be a million, by their index.
    wanted = (Q(pk__in=policies.values(found=Subquery(ended.values("pk")[n : n + 1]))) for n in range(of_each))
    newest = TrainingRun.objects.filter(reduce(or_, wanted)).order_by("-finished_at")
    lines: dict[str, list[str]] = {}
    for name, run_id, status, finished_at in newest.values_list("policy__name", "run_id", "status", "finished_at"):
        line = f"  run {run_id} {status} {finished_at and utc_text(finished_at)}"
        lines.setdefault(name, []).append(line)
    return lines


def lines_of(policy: dict[str, Any], why_it_waits: str) -> Iterator[str]:
    schedule = f"every {policy['interval_minutes']} min" if policy["enabled"] else "disabled"
    active = (policy["active"] or "idle") + (why_it_waits if policy["active"] == "queued" else "")
    yield (
        f"{policy['policy']}: {schedule}, {count_of(policy['episodes_per_run'], 'episode')} a run, "
        f"next {policy['next_run_at'] or '-'}, {active}"
    )
    if policy["active"]:
        yield f"  run {policy['active_run']}: {policy['active_start']}"
    outcome = [policy["last_status"] or "-", policy["last_finished_at"], policy["last_error"]]
    yield (
        f"  {count_of(policy['total_runs'], 'finished run')}, {policy['succeeded_runs']:,} succeeded; "
        f"last: {' '.join(part for part in outcome if part)}"
    )
