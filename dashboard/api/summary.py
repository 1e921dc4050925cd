"""The training summary, which operators and scripts request most often.

Plain functions build the response from the columns of a query: a DRF serializer takes several times as long for the
same dictionaries. The serializers here only describe the response in the schema.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.protocol.fields import FiniteFloat, finite
from dashboard.api.protocol.views import AnyMethodFirst, check_policy_name, unknown_policy
from dashboard.compiled_queries import CompiledQuery
from rl_training.models import PolicyStore, TrainingRun
from rl_training.models.columns import POLICY_SUMMARY_COLUMNS

DEFAULT_POLICY = "rl_v3"
RECENT_RUNS = 10

RECENT = CompiledQuery(lambda policy: TrainingRun.objects.summary(policy)[:RECENT_RUNS])
Columns = Mapping[str, Any]


class RecentRun(serializers.Serializer):  # type: ignore[type-arg]
    """Describes a finished run in the schema; `recent_run` builds the entry."""

    timestamp = serializers.DateTimeField(help_text="When it finished.")
    run_id = serializers.CharField()
    episodes = serializers.IntegerField()
    duration_seconds = FiniteFloat()
    success = serializers.BooleanField()
    avg_reward = FiniteFloat()
    final_reward = FiniteFloat()
    avg_policy_loss = FiniteFloat()
    avg_value_loss = FiniteFloat()
    error = serializers.CharField(allow_null=True)


class TrainingSummary(serializers.Serializer):  # type: ignore[type-arg]
    """Describes the summary in the schema; `summary` builds the answer."""

    enabled = serializers.BooleanField()
    interval_minutes = serializers.IntegerField()
    episodes_per_run = serializers.IntegerField()
    total_runs = serializers.IntegerField(help_text="Finished runs.")
    success_rate = serializers.FloatField(min_value=0.0, max_value=1.0)
    last_run_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_null=True, help_text="Null when the last run succeeded.")
    recent_runs = RecentRun(many=True, help_text="Up to 10, newest first.")


@method_decorator(never_cache, name="dispatch")
class TrainingSummaryView(AnyMethodFirst):
    """The summary of a policy's training: its schedule, its record, its last finished runs."""

    throttle_scope = "summary"
    problems_of_methods = {"GET": (404,)}  # noqa: RUF012

    @extend_schema(
        summary="Training summary",
        parameters=[OpenApiParameter("policy", str, default=DEFAULT_POLICY, description="The policy's name.")],
        responses=TrainingSummary,
    )
    def get(self, request: Request) -> Response:
        name = request.query_params.get("policy", DEFAULT_POLICY)
        check_policy_name(name)
        if runs := RECENT.rows(name):
            return Response(summary(policy_of(runs[0]), runs))
        policy = find_policy(name)
        # The policy's first run may have finished between the two queries.
        runs = RECENT.rows(name)
        return Response(summary(policy_of(runs[0]) if runs else policy, runs))


def find_policy(name: str) -> dict[str, Any]:
    """Return the columns of the summary of the policy called `name`. Raises `NotFound`."""
    found = PolicyStore.objects.filter(name=name).values(*POLICY_SUMMARY_COLUMNS)
    policy: dict[str, Any] | None = found.first()
    if policy is None:
        raise NotFound(unknown_policy(name))
    return policy


def summary(policy: Columns, runs: Sequence[Columns]) -> dict[str, Any]:
    """Return the summary of a policy with its last finished runs, newest first."""
    last = runs[0] if runs else None
    total = policy["total_runs"]
    return {
        "enabled": policy["enabled"],
        "interval_minutes": policy["interval_minutes"],
        "episodes_per_run": policy["episodes_per_run"],
        "total_runs": total,
        # 0.0 before the first run has finished.
        "success_rate": policy["succeeded_runs"] / total if total else 0.0,
        "last_run_at": timestamp_text(last["finished_at"]) if last else None,
        "last_error": error_of(last) if last else None,
        "recent_runs": [recent_run(run) for run in runs],
    }


def policy_of(run: Columns) -> dict[str, Any]:
    """Return the columns of the policy that a query read together with the run."""
    return {name.removeprefix("policy__"): value for name, value in run.items() if name.startswith("policy__")}


def recent_run(run: Columns) -> dict[str, Any]:
    """Return the entry of a finished run in the summary."""
    return {
        "timestamp": timestamp_text(run["finished_at"]),
        "run_id": run["run_id"],
        "episodes": run["episodes"],
        "duration_seconds": finite(run["duration_seconds"]),
        "success": run["status"] == TrainingRun.Status.SUCCEEDED,
        "avg_reward": finite(run["avg_reward"]),
        "final_reward": finite(run["final_reward"]),
        "avg_policy_loss": finite(run["avg_policy_loss"]),
        "avg_value_loss": finite(run["avg_value_loss"]),
        "error": error_of(run),
    }


def error_of(run: Columns) -> str | None:
    return None if run["status"] == TrainingRun.Status.SUCCEEDED else run["error"]


def timestamp_text(value: datetime) -> str:
    """Return a timestamp in ISO 8601, UTC, with `Z`."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
