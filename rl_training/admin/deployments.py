"""Deployments and proposals in the admin, read-only; the pages and the API decide."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rl_training.admin.display import EMPTY, admin_link, preformatted, time_column
from rl_training.admin.records import PolicyFilter, ReadOnlyAdmin
from rl_training.models import Deployment, PolicyVersion, Proposal
from rl_training.versions import live


def version_link(version: PolicyVersion | None) -> str | SafeString:
    return admin_link("policyversion", version.pk, f"version {version.number}") if version else "flat"


class ChangeAdmin(ReadOnlyAdmin):
    """The columns that deployments and proposals share."""

    @admin.display(description="policy")
    def policy_name(self, row: Deployment | Proposal) -> SafeString:
        return admin_link("policystore", row.policy_id, row.policy.name)

    @admin.display(description="target")
    def target(self, row: Deployment | Proposal) -> str | SafeString:
        return version_link(row.version)

    @admin.display(description="evidence")
    def evidence(self, row: Deployment | Proposal) -> str | SafeString:
        if row.comparison:
            return admin_link("comparison", row.comparison.pk, f"comparison {row.comparison}")
        if row.arm_comparison:
            return admin_link("armcomparison", row.arm_comparison.pk, f"comparison {row.arm_comparison} on new bars")
        return admin_link("validation", row.validation.pk, f"validation {row.validation}") if row.validation else "none"

    @admin.display(description="reason")
    def shown_reason(self, row: Deployment | Proposal) -> str | SafeString:
        return preformatted(row.reason)


@admin.register(Deployment)
class DeploymentAdmin(ChangeAdmin):
    list_display = ("number", "policy", "action", "target", "pinned", "since", "decided", "reason")
    list_filter = ("action", "actor", PolicyFilter)
    search_fields = ("actor_name", "reason")
    search_help_text = "A part of the actor's name or of the reason."
    date_hierarchy = "at"
    ordering = ("-at",)
    fields = (
        *("number", "policy_name", "action", "target", "pinned", "since", "decided", "shown_reason"),
        *("evidence", "before", "made_live", "proposed"),
    )

    since = time_column("at", "in force since")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        return live.shown()

    @admin.display(ordering="pk")
    def number(self, deployment: Deployment) -> str:
        return f"deployment {deployment.pk}"

    @admin.display(description="decided")
    def decided(self, deployment: Deployment) -> str:
        return live.decided(deployment)

    @admin.display(description="the one before")
    def before(self, deployment: Deployment) -> str | SafeString:
        return deployment_link(deployment.previous)

    @admin.display(description="live since deployment")
    def made_live(self, deployment: Deployment) -> str | SafeString:
        return deployment_link(deployment.origin)

    @admin.display(description="proposal")
    def proposed(self, deployment: Deployment) -> str | SafeString:
        proposal = Proposal.objects.filter(deployment=deployment).first()
        return admin_link("proposal", proposal.pk, f"proposal {proposal.pk}") if proposal else "none"


@admin.register(Proposal)
class ProposalAdmin(ChangeAdmin):
    list_display = (
        "number",
        "policy",
        "action",
        "target",
        "status",
        "proposed",
        "proposed_by",
        "decided",
        "decided_by",
    )
    list_filter = ("status", "action", PolicyFilter)
    search_fields = ("proposer_name", "decided_by", "reason")
    search_help_text = "A part of a user's name or of the reason."
    date_hierarchy = "proposed_at"
    ordering = ("-proposed_at",)
    fields = (
        *("number", "policy_name", "action", "target", "status", "proposed", "proposed_by", "supported_by"),
        *("shown_reason", "evidence", "for_deployment", "decided", "decided_by", "led_to"),
    )

    proposed = time_column("proposed_at")
    decided = time_column("decided_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Proposal]:
        return (
            Proposal.objects.shown()
            .select_related("previous", "deployment", "comparison", "validation", "arm_comparison")
            .defer("comparison__result", "validation__result", "validation__config")
        )

    @admin.display(ordering="pk")
    def number(self, proposal: Proposal) -> str:
        return f"proposal {proposal.pk}"

    @admin.display(description="proposed by")
    def proposed_by(self, proposal: Proposal) -> str:
        return live.actor(proposal.actor, proposal.proposer_name)

    @admin.display(description="made when this was in force")
    def for_deployment(self, proposal: Proposal) -> str | SafeString:
        return deployment_link(proposal.previous)

    @admin.display(description="led to")
    def led_to(self, proposal: Proposal) -> str | SafeString:
        return deployment_link(proposal.deployment)


def deployment_link(deployment: Deployment | None) -> str | SafeString:
    return admin_link("deployment", deployment.pk, f"deployment {deployment.pk}") if deployment else EMPTY
