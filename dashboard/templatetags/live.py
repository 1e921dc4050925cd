"""Cells and sentences about what is live."""

from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from dashboard.templatetags.cells import since
from rl_training.models import Proposal
from rl_training.versions import live
from rl_training.versions.proposals import in_words

register = template.Library()


@register.simple_tag
def live_version(policy: str, deployment: Any) -> SafeString:
    """Return the version that is live since this deployment, None without one, with a link and its age."""
    if deployment is None or deployment.version is None:
        when = since(deployment.origin.at) if deployment else ""
        return format_html('<span class="quiet">nothing is live</span> {}', when)
    number = deployment.version.number
    url = reverse("dashboard:version", args=[policy, number])
    pinned = mark_safe(' <span class="quiet">pinned</span>') if deployment.pinned else ""
    return format_html('<a href="{}">version {}</a> {}{}', url, number, since(deployment.origin.at), pinned)


@register.simple_tag
def decided(deployment: Any) -> str:
    """Return the action of the deployment and its author."""
    return live.decided(deployment)


@register.simple_tag
def proposed(proposal: Proposal) -> str:
    """Return a proposal as a sentence."""
    supported = f", supported by {proposal.supported_by}" if proposal.supported_by else ""
    who = live.actor(proposal.actor, proposal.proposer_name)
    return f"{who} proposes to {in_words(proposal)}{supported}: {proposal.reason}"
