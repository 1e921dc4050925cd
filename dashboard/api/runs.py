"""The run resources: list, read, trigger and cancel."""

from typing import Any, ClassVar

import pydantic
import structlog
from django.http import QueryDict
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.filters import RunFilters
from dashboard.api.protocol.fields import FiniteFloat, StoredNumbers, StoredObject
from dashboard.api.protocol.problem_details import InvalidInput, RunHasEnded
from dashboard.api.protocol.views import ListView, View, check_no_body
from dashboard.api.triggering import TriggerRequest, idempotency_key, trigger
from rl_training.core.config_problems import find_problems
from rl_training.models import TrainingRun
from rl_training.models.columns import LARGE_RUN_COLUMNS, LISTED_COLUMNS
from rl_training.runs import idempotency, lifecycle
from rl_training.runs.cancelling import how_it_ends_at

log = structlog.get_logger(__name__)


class Run(serializers.Serializer):  # type: ignore[type-arg]
    """A training run, without its config and other large fields."""

    run_id = serializers.CharField(help_text="12 hexadecimal digits.")
    policy = serializers.CharField(source="policy__name")
    status = serializers.ChoiceField(choices=TrainingRun.Status.values)
    trigger = serializers.ChoiceField(choices=TrainingRun.Trigger.values)
    triggered_by = serializers.CharField(
        source="triggered_by__username",
        allow_null=True,
        help_text="The user who triggered the run; null for the schedule, the command and a deleted user.",
    )
    scheduled_for = serializers.DateTimeField(allow_null=True, help_text="The slot; null for a triggered run.")
    queued_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    attempt = serializers.IntegerField()
    initial_version = serializers.IntegerField(
        source="initial_version__number",
        allow_null=True,
        help_text="The version that the run was queued to start from.",
    )
    started_from = serializers.IntegerField(
        source="started_from__number", allow_null=True, help_text="The version that training really started from."
    )
    start_note = serializers.CharField(
        allow_null=True,
        help_text="Why the run started from another version than `initial_version`, or from scratch. Null until the "
        "initial version is loaded.",
    )
    version = serializers.IntegerField(
        source="version__number", allow_null=True, help_text="The version that the run made."
    )
    episodes = serializers.IntegerField()
    episodes_done = serializers.IntegerField()
    iterations_done = serializers.IntegerField()
    environment_steps = serializers.IntegerField()
    duration_seconds = FiniteFloat()
    avg_reward = FiniteFloat()
    final_reward = FiniteFloat()
    avg_policy_loss = FiniteFloat()
    avg_value_loss = FiniteFloat()
    error = serializers.CharField(help_text="Empty unless the run failed or was cancelled.")


class RunDetail(Run):
    """A training run with its config and its other large fields."""

    cancellation = serializers.CharField(
        allow_null=True, help_text="How a running run with a `cancel_requested_at` ends, in words; otherwise null."
    )
    config = StoredObject(help_text="The settings that the run was queued with.")
    market_summary = StoredObject(allow_null=True)
    computing_environment = StoredObject(
        allow_null=True,
        help_text="Versions of code and libraries, kernels and device that the last attempt computed with; `earlier` "
        "lists the environments of earlier attempts that differ.",
    )
    episode_rewards = StoredNumbers()
    curve = StoredObject(
        allow_null=True, help_text="Episode rewards and PPO's metrics over the run, in at most 200 points each."
    )
    traceback = serializers.CharField()


KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": idempotency.MAX_LENGTH, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="A repeated request with the same key and body returns the same run; with another body, the answer is "
    "422. A request that queued no run stores no key. Keys are stored for at least 24 hours.",
)
LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="The run.")
REPLAYED = OpenApiParameter(
    "Idempotency-Replayed",
    str,
    OpenApiParameter.HEADER,
    response=[201],
    description="`true` if an earlier request queued the run.",
)


class RunList(ListView):
    queryset = TrainingRun.objects.values(*LISTED_COLUMNS)
    serializer_class = Run
    filterset_class = RunFilters
    orderings = ("-queued_at", "queued_at", "-finished_at", "finished_at")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_trainingrun", "POST": "rl_training.add_trainingrun"}
    problems_of_methods: ClassVar = {"POST": (409, 413, 415, 422)}

    def orderings_for(self, query: QueryDict) -> tuple[str, ...]:
        found = {name for name in ("queued", "finished") if query.keys() & {f"{name}_after", f"{name}_before"}}
        if len(found) == 2:
            raise InvalidInput({"finished_after": "A list is bounded by queued_* or by finished_*, not by both."})
        # An index serves bounds and order only if both are on the same column.
        return tuple(name for name in self.orderings if not found or found == {name.strip("-").removesuffix("_at")})

    def filter_queryset(self, queryset: Any) -> Any:
        queryset = super().filter_queryset(queryset)
        query = self.request.query_params
        by_end = str(query.get("ordering", self.orderings_for(query)[0])).endswith("finished_at")
        return queryset.filter(finished_at__isnull=False) if by_end else queryset

    @extend_schema(
        summary="Runs",
        description="Newest first. Ordered by `finished_at`, the list has only runs that have ended. `queued_after` "
        "and `queued_before` require the order by `queued_at`; `finished_after` and `finished_before` require the "
        "order by `finished_at`, which is the default with them.",
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Trigger a run",
        description="Queues a run of a policy, whether its schedule is enabled or not. 409 with the active run's "
        "`run_id` while the policy has an active run.",
        parameters=[KEY, LOCATION, REPLAYED],
        request=TriggerRequest,
        responses={201: RunDetail},
        filters=False,
    )
    def post(self, request: Request) -> Response:
        key = idempotency_key(request)
        try:
            body = TriggerRequest.model_validate(request.data)
        except pydantic.ValidationError as error:
            raise InvalidInput(dict(find_problems(error))) from None
        run, replayed = trigger(request, body, key)
        if not replayed:
            log.info("Queued by the API", run_id=run.run_id, policy=body.policy, user=str(request.user))
        headers = {"Location": request.build_absolute_uri(reverse("api:run", args=[run.run_id]))}
        if replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(run_data(run.run_id), 201, headers=headers)


class RunView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_trainingrun"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A run", responses=RunDetail)
    def get(self, request: Request, run_id: str) -> Response:
        return Response(run_data(run_id))


class RunCancel(View):
    permissions_of_methods: ClassVar = {"POST": "rl_training.change_trainingrun"}
    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}

    @extend_schema(
        summary="Cancel a run",
        description="A queued run is cancelled at once. A running run is cancelled after its present iteration, or "
        "once its worker counts as lost; until then it has a `cancel_requested_at`, and `cancellation` says how the "
        "run ends. Repeating the request changes nothing. 409 if the run has succeeded or failed.",
        request=None,
        responses=RunDetail,
    )
    def post(self, request: Request, run_id: str) -> Response:
        check_no_body(request)
        run = runs_with_id(run_id).select_related("policy").defer("config")
        found = run.first()
        if found is None:
            raise run_not_found(run_id)
        if found.cancel_requested_at is None and not lifecycle.cancel(found) and found.status != "cancelled":
            raise RunHasEnded(f"Run {run_id} has ended: {found.status}.", run_id=run_id)
        log.info("Cancelled by the API", run_id=run_id, user=str(request.user))
        return Response(run_data(run_id))


def runs_with_id(run_id: str) -> Any:
    """Return the query for the run. Raises `NotFound` for ids with NUL, on which PostgreSQL fails."""
    if "\0" in run_id:
        raise run_not_found(run_id)
    return TrainingRun.objects.filter(run_id=run_id)


def run_data(run_id: str) -> Any:
    """Return the serialized run with its large columns. Raises `NotFound`."""
    columns = (*LISTED_COLUMNS, *LARGE_RUN_COLUMNS, "heartbeat_age")
    row = runs_with_id(run_id).with_heartbeat_age().values(*columns).first()
    if row is None:
        raise run_not_found(run_id)
    cancelled = row["status"] == TrainingRun.Status.RUNNING and row["cancel_requested_at"] is not None
    row["cancellation"] = f"The run {how_it_ends_at(row['heartbeat_age'])}." if cancelled else None
    return RunDetail(row).data


def run_not_found(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id[:50]!r}.")
