"""The policy resources: list, read, create and change."""

from typing import Any, ClassVar, cast

import structlog
from django.db import transaction
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api import settings_change
from dashboard.api.filters import PolicyFilters
from dashboard.api.protocol.fields import StoredJSON
from dashboard.api.protocol.problem_details import InvalidInput, PreconditionRequired, SettingsChanged
from dashboard.api.protocol.views import ListView, View, check_policy_name, unknown_policy
from rl_training.models import PolicyStore
from rl_training.models.columns import OUTCOME_COLUMNS
from rl_training.runs.next_start import next_start
from rl_training.settings_change import TRAINING_FIELDS, SettingsRefusedError, apply, create
from rl_training.trainable import device_warning
from rl_training.validation import gate

log = structlog.get_logger(__name__)

STATE = ("next_run_at", "total_runs", "succeeded_runs", "schedule_error", "updated_at")
LISTED = ("pk", "name", *TRAINING_FIELDS, *STATE, *OUTCOME_COLUMNS)


class Policy(serializers.Serializer):  # type: ignore[type-arg]
    """A policy and its state, without `market`, `environment` and `ppo`."""

    name = serializers.CharField()
    enabled = serializers.BooleanField()
    interval_minutes = serializers.IntegerField()
    episodes_per_run = serializers.IntegerField()
    start_from = serializers.CharField(help_text="What each run starts from: scratch, live or newest.")
    seeds = serializers.IntegerField(help_text="Members that a run trains; together they are one version.")
    min_new_bars = serializers.IntegerField(help_text="A slot with fewer new closed bars is skipped.")
    promotion = serializers.CharField(help_text="What makes a new version live: validated, manual or newest.")
    must_beat = serializers.CharField(help_text="What a walk-forward must beat: flat, buy_and_hold (and flat) or all.")
    revalidate_days = serializers.IntegerField(help_text="Days after which a validated recipe is walked forward again.")
    fallback = serializers.CharField(help_text="What follows when a guard ends what is live: flat, previous or none.")
    demotion_bars = serializers.IntegerField(help_text="Mean bars between false demotions; 0: the bars of ten years.")
    drawdown_limit = serializers.IntegerField(help_text="Percent that a live version's account may fall from its peak.")
    stall_limit_minutes = serializers.IntegerField()
    run_limit_minutes = serializers.IntegerField()
    updated_at = serializers.DateTimeField(help_text="When a setting was changed last.")
    next_run_at = serializers.DateTimeField(allow_null=True, help_text="When the next run is due; null while disabled.")
    schedule_error = serializers.CharField(help_text="Why the last slot started no run; empty if it did.")
    total_runs = serializers.IntegerField(help_text="Finished runs.")
    succeeded_runs = serializers.IntegerField()
    active_status = serializers.CharField(allow_null=True, help_text="queued or running; null without an active run.")
    last_status = serializers.CharField(allow_null=True, help_text="Status of the last finished run.")
    last_finished_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_null=True)

    def to_representation(self, instance: Any) -> Any:
        shown = super().to_representation(instance)
        return shown if shown["enabled"] else shown | {"next_run_at": None}


class PolicyDetail(Policy):
    """A policy with all its settings."""

    market = StoredJSON()
    environment = StoredJSON()
    ppo = StoredJSON()
    next_start = serializers.CharField(
        allow_null=True,
        help_text="What the next scheduled run starts from under these settings, with the reasons why the weights of a "
        "version cannot be used; null if the run starts from scratch or the settings are invalid.",
    )
    warning = serializers.CharField(
        allow_null=True, help_text="What this server lacks and the workers of the runs must have, such as a GPU."
    )


class ChangedPolicy(PolicyDetail):
    """A policy after a change of its settings."""

    expiry = serializers.CharField(
        allow_null=True,
        help_text="What follows because a validation of the recipe expires by the change; null if none expires.",
    )


TAG = {"type": "string", "pattern": '^"[0-9a-f]{32}"$'}
ETAG = OpenApiParameter("ETag", TAG, OpenApiParameter.HEADER, response=[200], description="Identifies the settings.")
CREATED = OpenApiParameter("ETag", TAG, OpenApiParameter.HEADER, response=[201], description="Identifies the settings.")
LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="The policy.")


class PolicyList(ListView):
    queryset = PolicyStore.objects.with_outcome().values(*LISTED)
    serializer_class = Policy
    filterset_class = PolicyFilters
    orderings = ("name", "-name")
    permissions_of_methods: ClassVar = {
        "GET": "rl_training.view_policystore",
        "POST": "rl_training.add_policystore",
    }
    problems_of_methods: ClassVar = {"POST": (413, 415)}

    @extend_schema(summary="Policies")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Create a policy",
        description="Settings that are not given are those of the policy `like`, or defaults without it. A policy that "
        "is created with `like` is disabled unless `enabled` is given.",
        parameters=[CREATED, LOCATION],
        request={"application/json": settings_change.CREATION_SCHEMA},
        responses={201: PolicyDetail},
        filters=False,
    )
    def post(self, request: Request) -> Response:
        changes = dict(cast(dict[str, Any], request.data))
        name, like = changes.pop("name", None), changes.pop("like", None)
        try:
            if not isinstance(name, str):
                raise SettingsRefusedError({"name": "Required: the name of the new policy, as text."})
            policy = create(name, changes, like=None if like is None else model_policy(like), user=request.user)
        except SettingsRefusedError as error:
            raise InvalidInput(error.errors) from None
        log.info("Policy created by the API", policy=policy.name, user=str(request.user))
        response = policy_response(policy.name)
        response.status_code = 201
        response.headers["Location"] = request.build_absolute_uri(reverse("api:policy", args=[policy.name]))
        return response


IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of the settings that the client read: 412 if they have changed since, 428 without this "
    "header. `*` changes the settings in any case.",
)


class PolicyView(View):
    """A policy. Its ETag depends on the settings alone, so that runs do not change it."""

    permissions_of_methods: ClassVar = {
        "GET": "rl_training.view_policystore",
        "PATCH": "rl_training.change_policystore",
    }
    problems_of_methods: ClassVar = {"GET": (404,), "PATCH": (404, 412, 413, 415, 428)}

    @extend_schema(summary="A policy", parameters=[ETAG], responses=PolicyDetail)
    def get(self, request: Request, name: str) -> Response:
        return policy_response(name)

    @extend_schema(
        summary="Change a policy's settings",
        description="Settings that are not given stay unchanged, within `market`, `environment` and `ppo` too.",
        parameters=[ETAG, IF_MATCH],
        request={"application/json": settings_change.SCHEMA},
        responses=ChangedPolicy,
    )
    def patch(self, request: Request, name: str) -> Response:
        expected = request.headers.get("If-Match")
        if expected is None:
            wanted = "If-Match is missing: read the policy and send the ETag that came with it, or `*`."
            raise PreconditionRequired(wanted)
        changes = cast(dict[str, Any], request.data)
        check_policy_name(name)
        with transaction.atomic():
            # The lock lasts until the change is saved, so that one of two simultaneous changes is refused.
            policy = PolicyStore.objects.select_for_update().filter(name=name).first()
            if policy is None:
                raise NotFound(unknown_policy(name))
            current = settings_change.tag(policy, settings_change.sections(policy))
            if not matches(expected, current):
                raise SettingsChanged(
                    "The settings have changed since they were read; read the policy again.",
                    headers={"ETag": current},
                )
            recipe = gate.recipe_of(policy)
            try:
                apply(policy, changes, request.user)
            except SettingsRefusedError as error:
                raise InvalidInput(error.errors) from None
        expiring = gate.expiring(recipe, policy)
        response = policy_response(name)
        response.data["expiry"] = gate.expiry(expiring) if expiring else None
        return response


def matches(expected: str, current: str) -> bool:
    """Return whether the If-Match header `expected` matches the tag `current`.

    A weak tag matches nothing (RFC 9110, section 13.1.1).
    """
    return expected.strip() == "*" or current in (tag.strip() for tag in expected.split(","))


def policy_response(name: str) -> Response:
    """Return the policy with its ETag. Raises `NotFound`."""
    check_policy_name(name)
    policy = PolicyStore.objects.with_outcome().filter(name=name).first()
    if policy is None:
        raise NotFound(unknown_policy(name))
    stored = settings_change.sections(policy)
    start = next_start(policy)
    row = {column: getattr(policy, column) for column in LISTED} | stored
    row["next_start"] = str(start) if start else None
    row["warning"] = device_warning(policy.ppo) or None
    return Response(PolicyDetail(row).data, headers={"ETag": settings_change.tag(policy, stored)})


def model_policy(name: Any) -> PolicyStore:
    """Return the policy whose settings a new policy copies. Raises `SettingsRefusedError`."""
    try:
        check_policy_name(str(name))
        return PolicyStore.objects.get(name=name if isinstance(name, str) else "")
    except (NotFound, PolicyStore.DoesNotExist):
        raise SettingsRefusedError({"like": unknown_policy(str(name))}) from None
