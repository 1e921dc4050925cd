"""The deployments of a policy: list them, change what is live, and read what is or was live."""

from datetime import datetime
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.deploying.changing import ChangeRequest, change_of, decide, find_policy, read
from dashboard.api.deploying.proposals import Proposal, proposal_data
from dashboard.api.protocol.problem_details import InvalidInput
from dashboard.api.protocol.views import ListView, View, policy_pk
from dashboard.timestamps import WANTED, parse_timestamp
from rl_training.models import Deployment as DeploymentRow
from rl_training.roles import DEPLOY
from rl_training.versions import live, proposals
from rl_training.versions.changes import Author

COLUMNS = (
    *("pk", "policy__name", "action", "version__number", "version__sha256", "pinned", "at", "actor", "actor_name"),
    *("approved_by", "reason", "comparison__comparison_id", "validation__validation_id"),
    *("arm_comparison__comparison_id", "previous", "live_since"),
)
ACTIONS, ACTORS = DeploymentRow.Action.values, DeploymentRow.Actor.values


class Deployment(serializers.Serializer):  # type: ignore[type-arg]
    """A change of what is live."""

    id = serializers.IntegerField(source="pk")
    policy = serializers.CharField(source="policy__name")
    action = serializers.ChoiceField(choices=ACTIONS)
    version = serializers.IntegerField(
        source="version__number",
        allow_null=True,
        help_text="The version that the deployment makes live; null if the policy is flat.",
    )
    sha256 = serializers.CharField(source="version__sha256", allow_null=True, help_text="Digest of the weights.")
    pinned = serializers.BooleanField(help_text="Whether automatic promotions leave what is live unchanged.")
    at = serializers.DateTimeField(help_text="In force from this time until the `at` of the next deployment.")
    actor = serializers.ChoiceField(
        choices=ACTORS, help_text="`gate`: the rule of the policy's `promotion`. `migration`: an upgrade."
    )
    actor_name = serializers.CharField(
        help_text="The user, or the system account that ran the command; empty for rules."
    )
    approved_by = serializers.CharField(help_text="The users who approved the proposal; empty without a proposal.")
    reason = serializers.CharField()
    comparison = serializers.CharField(
        source="comparison__comparison_id",
        allow_null=True,
        help_text="The comparison that is the evidence; null if there is none.",
    )
    validation = serializers.CharField(
        source="validation__validation_id",
        allow_null=True,
        help_text="The validation that is the gate's evidence; null if there is none.",
    )
    arm_comparison = serializers.CharField(
        source="arm_comparison__comparison_id",
        allow_null=True,
        help_text="The evidence on new bars; null if there is none.",
    )
    previous = serializers.IntegerField(
        allow_null=True, help_text="The previous deployment; null for the first deployment."
    )
    live_since = serializers.DateTimeField(
        help_text="Since when the same version, or nothing, has been live without a break; after a pin, earlier than "
        "`at`."
    )


class Live(serializers.Serializer):  # type: ignore[type-arg]
    """The version that is live in a policy, or was live at a time."""

    policy = serializers.CharField()
    at = serializers.DateTimeField(help_text="The time that the answer is about.")
    version = serializers.IntegerField(allow_null=True, help_text="Null while nothing is live: the policy is flat.")
    sha256 = serializers.CharField(allow_null=True, help_text="Digest of the weights.")
    since = serializers.DateTimeField(allow_null=True, help_text="Null before the first deployment.")
    pinned = serializers.BooleanField()
    action = serializers.ChoiceField(choices=ACTIONS, allow_null=True, help_text="The action that made this live.")
    actor = serializers.ChoiceField(choices=ACTORS, allow_null=True)
    actor_name = serializers.CharField()
    approved_by = serializers.CharField()
    reason = serializers.CharField()
    deployment = serializers.IntegerField(allow_null=True, help_text="The deployment in force.")


LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[202], description="The proposal.")
AT = OpenApiParameter("at", {"type": "string", "format": "date-time"}, description=f"{WANTED} Now when not given.")


class DeploymentList(ListView):
    queryset = DeploymentRow.objects.all()
    serializer_class = Deployment
    orderings = ("-at", "at")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_deployment", "POST": DEPLOY}
    problems_of_methods: ClassVar = {"GET": (404,), "POST": (404, 409, 413, 415)}

    def get_queryset(self) -> QuerySet[Any]:
        return rows().filter(policy_id=policy_pk(self.kwargs["name"]))

    @extend_schema(summary="Deployments of a policy", description="Every change of what is live, newest first.")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Change what is live",
        description="With PROMOTION_NEEDS_TWO the answer is 202 with a proposal, which another user has to approve. "
        "409 if nothing would change or the version cannot be live.",
        parameters=[LOCATION],
        request=ChangeRequest,
        responses={201: Deployment, 202: Proposal},
        filters=False,
    )
    def post(self, request: Request, name: str) -> Response:
        policy, body = find_policy(name), read(ChangeRequest, request)
        change, author = change_of(policy, body), Author.of(request.user)
        made = decide(lambda: proposals.request(policy, change, author))
        if isinstance(made, DeploymentRow):
            return Response(Deployment(rows().get(pk=made.pk)).data, 201)
        url = request.build_absolute_uri(reverse("api:proposal", args=[made.pk]))
        return Response(proposal_data(made.pk), 202, headers={"Location": url})


class LiveView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_deployment"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    def query_parameters(self) -> tuple[str, ...]:
        return ("at",)

    @extend_schema(summary="What is or was live in a policy", parameters=[AT], responses=Live)
    def get(self, request: Request, name: str) -> Response:
        policy = policy_pk(name)
        time = read_time(request)
        found = live.live_at(policy, time) if time else live.live_now(policy)
        return Response(Live({"policy": name, "at": time or timezone.now(), **live.describe(found)}).data)


def rows() -> QuerySet[Any, dict[str, Any]]:
    """Select deployments as dicts of COLUMNS."""
    found: QuerySet[Any, dict[str, Any]] = DeploymentRow.objects.annotate(live_since=live.SINCE).values(*COLUMNS)
    return found


def read_time(request: Request) -> datetime | None:
    """Return the query's `at`, or None without one. Raises `InvalidInput`."""
    text = request.query_params.get("at")
    try:
        return parse_timestamp(text) if text is not None else None
    except ValueError as error:
        raise InvalidInput({"at": str(error)}) from None
