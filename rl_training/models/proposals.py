"""Proposals: changes of what is live that wait for the decision of a permitted user."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from rl_training.models.deployments import Deployment
from rl_training.models.policies import PolicyStore
from rl_training.models.versions import PolicyVersion


class ProposalQuerySet(models.QuerySet["Proposal"]):
    def waiting(self) -> ProposalQuerySet:
        """Select the proposals that no user has decided yet."""
        return self.filter(status="waiting")

    def shown(self) -> ProposalQuerySet:
        """Select the proposals, newest first, with their policies and the numbers of their versions."""
        return self.select_related("policy", "version").defer("version__evaluation").order_by("-proposed_at", "-pk")


class Proposal(models.Model):
    """A proposed change of what is live in a policy. Only `versions/` writes it."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        APPROVED = "approved"  # `deployment` is the change that followed
        REJECTED = "rejected"
        WITHDRAWN = "withdrawn"  # by the user who proposed it
        SUPERSEDED = "superseded"  # what is live changed meanwhile

    policy = models.ForeignKey(PolicyStore, on_delete=models.PROTECT, related_name="proposals")
    action = models.CharField(max_length=10, choices=Deployment.Action)
    version = models.ForeignKey(
        PolicyVersion,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="proposals",
        help_text="The version that would be live; empty if the policy would be flat.",
    )
    reason = models.TextField()
    comparison = models.ForeignKey(
        "rl_training.Comparison",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The comparison that is the evidence, if there is one.",
    )
    arm_comparison = models.ForeignKey(
        "rl_training.ArmComparison",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The comparison on new bars that is the evidence, if there is one.",
    )
    validation = models.ForeignKey(
        "rl_training.Validation",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The validation that is the evidence, if there is one.",
    )
    actor = models.CharField(max_length=10, choices=Deployment.Actor, help_text="Who or what made the proposal.")
    proposer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        db_index=False,
        help_text="The proposer, who may not approve the proposal if two users have to agree.",
    )
    proposer_name = models.CharField(max_length=150, blank=True)
    supported_by = models.CharField(
        max_length=150, blank=True, help_text="The name of the user who supports a command's proposal."
    )
    proposed_at = models.DateTimeField(help_text="By the database's clock.")
    previous = models.ForeignKey(
        Deployment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        db_index=False,
        help_text="The newest deployment when the change was proposed, if there was one.",
    )
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    decided_by = models.CharField(
        max_length=150, blank=True, help_text="The name of the user who decided the proposal."
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    deployment = models.OneToOneField(
        Deployment,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="proposal",
        help_text="The deployment that the approval made.",
    )

    objects = ProposalQuerySet.as_manager()

    class Meta:
        ordering = ("-proposed_at",)
        indexes = (
            models.Index(fields=["policy", "-proposed_at"], name="proposal_of_policy"),
            models.Index(fields=["-proposed_at"], name="proposal_proposed_at"),
            models.Index(fields=["policy"], condition=Q(status="waiting"), name="proposal_waiting"),
        )
        constraints = (
            models.CheckConstraint(condition=~Q(reason=""), name="proposal_has_reason"),
            models.CheckConstraint(
                condition=Q(status="approved", deployment__isnull=False)
                | (~Q(status="approved") & Q(deployment__isnull=True)),
                name="proposal_approved_has_deployment",
            ),
        )

    def __str__(self) -> str:
        return f"{self.policy} {self.action} {self.version.number if self.version else 'flat'}"

    @property
    def version_number(self) -> Any:
        """The number of the version, or None for flat."""
        return self.version.number if self.version else None
