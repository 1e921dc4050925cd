"""Held-out results of policy versions as cells of tables."""

from collections.abc import Sequence
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from dashboard.templatetags.cells import since
from dashboard.templatetags.figures import percent

register = template.Library()

SHAPES = {
    "good": "\N{BLACK UP-POINTING TRIANGLE}",
    "warn": "\N{BLACK DIAMOND}",
    "bad": "\N{BLACK DOWN-POINTING TRIANGLE}",
}
WIDTH, HEIGHT = 72, 18


@register.simple_tag
def standing(result: Any) -> SafeString:
    """Return how the version stands beside flat and buy and hold, as a shape and words."""
    kind, words = result.standing
    form = '<span class="standing {}"><span aria-hidden="true">{}</span> {}</span>'
    return format_html(form, kind, SHAPES[kind], words) if kind else mark_safe("")


@register.simple_tag
def newest_version(policy: Any) -> SafeString:
    """Return a link to the policy's newest version, and its age."""
    if not policy.results:
        return mark_safe('<span class="quiet">no version yet</span>')
    newest = policy.results[-1]
    url = reverse("dashboard:version", args=[policy.name, newest.number])
    return format_html('<a href="{}">newest: version {}</a> {}', url, newest.number, since(newest.created_at))


@register.simple_tag
def held_out(results: Sequence[Any]) -> SafeString:
    """Return the held-out return of the newest version beside those of flat and buy and hold."""
    if not results or results[-1].policy is None:
        return mark_safe('<span class="quiet">not measured</span>')
    newest = results[-1]
    form = '<strong>{}</strong> <span class="quiet">flat {}, buy and hold {}</span> {}'
    return format_html(form, *map(percent, (newest.policy, newest.flat, newest.hold)), standing(newest))


@register.simple_tag
def curve(results: Sequence[Any]) -> SafeString:
    """Return a small curve of the held-out returns over the newest versions; empty below two versions of one market."""
    market = results[-1].market if results else ""
    values = [result.policy for result in results if result.market == market and result.policy is not None]
    if len(values) < 2:
        return mark_safe("")
    low, high = min(values), max(values)
    step, scale = (WIDTH - 4) / (len(values) - 1), (HEIGHT - 4) / ((high - low) or 1.0)
    points = [f"{2 + step * index:.1f} {2 + (high - value) * scale:.1f}" for index, value in enumerate(values)]
    form = (
        '<svg class="curve" viewBox="0 0 {w} {h}" width="{w}" height="{h}" role="img" aria-label="{}">'
        '<path d="M{}"/></svg>'
    )
    label = f"Held-out return of the last {len(values)} versions, from {percent(values[0])} to {percent(values[-1])}"
    return format_html(form, label, "L".join(points), w=WIDTH, h=HEIGHT)
