"""The state of a policy's paper account, as a cell of a table."""

from typing import Any

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from dashboard.templatetags.cells import page_url, since
from dashboard.templatetags.figures import percent

register = template.Library()


@register.simple_tag
def position(policy: str, standing: Any) -> SafeString:
    """Return the policy's position and its result of the day, marked if they are old. Empty without an account."""
    if standing is None:
        return mark_safe("")
    decision = standing.decision
    if timezone.now() > decision.valid_until:
        form = '<a class="quiet" href="{}">was {}</a> {}'
        return format_html(form, page_url("policy-decisions", policy), standing.position, since(decision.bar_closed_at))
    form = '<a href="{}">{}</a> <span class="quiet">{} today</span>'
    return format_html(form, page_url("policy-decisions", policy), standing.position, percent(standing.day_return))
