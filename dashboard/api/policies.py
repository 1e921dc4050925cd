"""The policy resources: list, read and change."""

from typing import Any, ClassVar, cast

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api import settings_change
from dashboard.api.filters import PolicyFilters
from dashboard.api.protocol.fields import StoredJSON
from dashboard.api.protocol.problem_details import PreconditionRequired, SettingsChanged
from dashboard.api.protocol.views import ListView, View, check_policy_name, unknown_policy
from rl_training import keys
from rl_training.models import PolicyStore

STATE = ("next_run_at", "total_runs", "succeeded_runs", "schedule_error", "updated_at")
OUTCOME = ("last_status", "last_finished_at", "last_error", "active_status")
LISTED = ("pk", "name", *keys.TRAINING_FIELDS, *STATE, *OUTCOME)


class Policy(serializers.Serializer):  # type: ignore[type-arg]
    """A policy and how it goes, without its typed settings."""

    name = serializers.CharField()
    enabled = serializers.BooleanField()
    interval_minutes = serializers.IntegerField()
    episodes_per_run = serializers.IntegerField()
    stall_limit_minutes = serializers.IntegerField()
    run_limit_minutes = serializers.IntegerField()
    updated_at = serializers.DateTimeField(help_text="When a setting was changed last.")
    next_run_at = serializers.DateTimeField(help_text="When it is due, as long as it is enabled.")
    schedule_error = serializers.CharField(help_text="Why the last slot started no run; empty when it did.")
    total_runs = serializers.IntegerField(help_text="Finished runs.")
    succeeded_runs = serializers.IntegerField()
    active_status = serializers.CharField(allow_null=True, help_text="queued or running; null: no active run.")
    last_status = serializers.CharField(allow_null=True, help_text="Of the last finished run.")
    last_finished_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField(allow_null=True)


class PolicyDetail(Policy):
    """A policy with all its settings."""

    market = StoredJSON()
    environment = StoredJSON()
    ppo = StoredJSON()


class PolicyList(ListView):
    queryset = PolicyStore.objects.with_outcome().values(*LISTED)
    serializer_class = Policy
    filterset_class = PolicyFilters
    orderings = ("name", "-name")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_policystore"}

    @extend_schema(summary="Policies")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


TAG = {"type": "string", "pattern": '^"[0-9a-f]{32}"$'}
ETAG = OpenApiParameter("ETag", TAG, OpenApiParameter.HEADER, response=[200], description="Of its settings.")
IF_MATCH = OpenApiParameter(
    "If-Match",
    str,
    OpenApiParameter.HEADER,
    description="The ETag of the settings that the change was made for: 412 when they are others by now, 428 when it "
    "is missing. `*` changes whatever is there.",
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
        description="Settings that are not given stay as they are, within `market`, `environment` and `ppo` too.",
        parameters=[ETAG, IF_MATCH],
        request={"application/json": settings_change.SCHEMA},
        responses=PolicyDetail,
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
                    "The settings are not those that the change was made for; read the policy again.",
                    headers={"ETag": current},
                )
            settings_change.apply(policy, changes, request.user)
        return policy_response(name)


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
    row = {column: getattr(policy, column) for column in LISTED} | stored
    return Response(PolicyDetail(row).data, headers={"ETag": settings_change.tag(policy, stored)})
