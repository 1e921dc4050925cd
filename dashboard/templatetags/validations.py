"""Cells and sentences about the standing of a policy's recipe and about versions that the gate holds back."""

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from dashboard.templatetags.cells import page_url
from dashboard.templatetags.results import SHAPES
from rl_training.models import Promotion
from rl_training.validation.gate import Standing, State

register = template.Library()

KINDS = {State.VALIDATED: "good", State.INCONCLUSIVE: "warn", State.ENDED: "warn", State.REFUSED: "bad"}


@register.simple_tag
def verdict(policy: str, standing: Standing) -> SafeString:
    """Return the verdict on the recipe of the policy with this name as a word with a shape and a link."""
    url, kind = page_url("policy-validation", policy), KINDS.get(standing.state)
    under_way = mark_safe(' <span class="state running">under way</span>') if standing.active else ""
    if kind is None:
        return format_html('<a class="quiet" href="{}">{}</a>{}', url, standing.state, under_way)
    form = '<a class="standing {}" href="{}"><span aria-hidden="true">{}</span> {}</a>{}'
    return format_html(form, kind, url, SHAPES[kind], standing.state, under_way)


@register.simple_tag
def held_back(policy: Any) -> SafeString:
    """Return why the gate holds the newest version back; empty if it does not, or if the version is live."""
    newest = policy.results[-1] if policy.results else None
    if newest is None or not newest.held_back or policy.promotion != Promotion.VALIDATED:
        return mark_safe("")
    if policy.live and policy.live.version and policy.live.version.number == newest.number:
        return mark_safe("")
    form = (
        '<div class="standing warn one-line" title="{2}"><span aria-hidden="true">{0}</span> version {1} held back: {2}'
    )
    return format_html(form + "</div>", SHAPES["warn"], newest.number, newest.held_back)
