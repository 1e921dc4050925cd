"""The proposal resources: list, read, propose, approve, reject and withdraw."""

from typing import Any, ClassVar

from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from dashboard.api.deploying.changing import ProposalRequest, change_of, decide, read
from dashboard.api.filters import ProposalFilters
from dashboard.api.protocol.views import ListView, View, check_no_body
from dashboard.api.triggering import find_policy
from rl_training.models import Deployment as DeploymentRow
from rl_training.models import Proposal as ProposalRow
from rl_training.roles import DEPLOY, PROPOSE
from rl_training.versions import proposals
from rl_training.versions.changes import Author

COLUMNS = (
    *("pk", "policy__name", "action", "version__number", "reason", "comparison__comparison_id"),
    *("validation__validation_id", "arm_comparison__comparison_id"),
    *("actor", "proposer_name", "supported_by"),
    *("proposed_at", "previous", "status", "decided_by", "decided_at", "deployment"),
)


class Proposal(serializers.Serializer):  # type: ignore[type-arg]
    """A proposed change of what is live."""

    id = serializers.IntegerField(source="pk")
    policy = serializers.CharField(source="policy__name")
    action = serializers.ChoiceField(choices=DeploymentRow.Action.values)
    version = serializers.IntegerField(
        source="version__number",
        allow_null=True,
        help_text="The version that would be live; null if the policy would be flat.",
    )
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
    actor = serializers.ChoiceField(choices=DeploymentRow.Actor.values, help_text="Who or what proposed the change.")
    proposer_name = serializers.CharField(
        help_text="The user, or the system account that ran the command; empty for rules."
    )
    supported_by = serializers.CharField(help_text="The user who gave a command's proposal its first approval.")
    proposed_at = serializers.DateTimeField()
    previous = serializers.IntegerField(
        allow_null=True, help_text="The newest deployment at `proposed_at`; a newer deployment supersedes the proposal."
    )
    status = serializers.ChoiceField(choices=ProposalRow.Status.values)
    decided_by = serializers.CharField()
    decided_at = serializers.DateTimeField(allow_null=True)
    deployment = serializers.IntegerField(allow_null=True, help_text="The deployment that the approval made.")


LOCATION = OpenApiParameter("Location", str, OpenApiParameter.HEADER, response=[201], description="The proposal.")


class ProposalList(ListView):
    queryset = ProposalRow.objects.values(*COLUMNS)
    serializer_class = Proposal
    filterset_class = ProposalFilters
    orderings = ("-proposed_at", "proposed_at")
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_proposal", "POST": PROPOSE}
    problems_of_methods: ClassVar = {"POST": (409, 413, 415)}

    @extend_schema(summary="Proposals")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        summary="Propose a change of what is live",
        description="A user with the permission to deploy decides the proposal. 409 if the same change is proposed "
        "already.",
        parameters=[LOCATION],
        request=ProposalRequest,
        responses={201: Proposal},
        filters=False,
    )
    def post(self, request: Request) -> Response:
        body = read(ProposalRequest, request)
        policy = find_policy(body.policy)
        change, author = change_of(policy, body), Author.of(request.user)
        made = decide(lambda: proposals.propose(policy, change, author))
        url = request.build_absolute_uri(reverse("api:proposal", args=[made.pk]))
        return Response(proposal_data(made.pk), 201, headers={"Location": url})


class ProposalView(View):
    permissions_of_methods: ClassVar = {"GET": "rl_training.view_proposal"}
    problems_of_methods: ClassVar = {"GET": (404,)}

    @extend_schema(summary="A proposal", responses=Proposal)
    def get(self, request: Request, proposal_id: int) -> Response:
        return Response(proposal_data(proposal_id))


class ProposalDecision(View):
    """Base of the views that approve, reject or withdraw a proposal."""

    problems_of_methods: ClassVar = {"POST": (404, 409, 413, 415)}

    def act(self, proposal: ProposalRow, user: Any) -> object:
        raise NotImplementedError

    def post(self, request: Request, proposal_id: int) -> Response:
        check_no_body(request)
        proposal = ProposalRow.objects.select_related("policy").filter(pk=proposal_id).first()
        if proposal is None:
            raise proposal_not_found(proposal_id)
        decide(lambda: self.act(proposal, request.user))
        return Response(proposal_data(proposal_id))


@extend_schema(
    summary="Approve a proposal",
    description="The change takes effect at once. With PROMOTION_NEEDS_TWO, 403 for the user who proposed the change; "
    "a command's proposal stays `waiting` after the first approval and needs a second user. 409 if the proposal is "
    "decided already, or if what is live has changed since.",
    request=None,
    responses=Proposal,
)
class ProposalApprove(ProposalDecision):
    permissions_of_methods: ClassVar = {"POST": DEPLOY}

    def act(self, proposal: ProposalRow, user: Any) -> object:
        return proposals.approve(proposal, user)


@extend_schema(
    summary="Reject a proposal",
    description="409 if the proposal is decided already.",
    request=None,
    responses=Proposal,
)
class ProposalReject(ProposalDecision):
    permissions_of_methods: ClassVar = {"POST": DEPLOY}

    def act(self, proposal: ProposalRow, user: Any) -> object:
        return proposals.reject(proposal, user)


@extend_schema(
    summary="Withdraw a proposal",
    description="Only for the user who made the proposal. 409 if the proposal is decided already.",
    request=None,
    responses=Proposal,
)
class ProposalWithdraw(ProposalDecision):
    permissions_of_methods: ClassVar = {"POST": PROPOSE}

    def act(self, proposal: ProposalRow, user: Any) -> object:
        return proposals.withdraw(proposal, user)


def proposal_data(proposal_id: int) -> Any:
    """Return the serialized proposal. Raises `NotFound`."""
    row = ProposalRow.objects.filter(pk=proposal_id).values(*COLUMNS).first()
    if row is None:
        raise proposal_not_found(proposal_id)
    return Proposal(row).data


def proposal_not_found(proposal_id: int) -> NotFound:
    return NotFound(f"There is no proposal {proposal_id}.")
