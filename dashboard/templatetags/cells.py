"""What tables and tiles show of a policy. Tags: a page has fifty of each, and a template takes ten times as long."""

from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from dashboard.templatetags.figures import share

register = template.Library()

NO_RUN = mark_safe('<span class="quiet">no run yet</span>')


def lasting(seconds: float) -> str:
    """As live.js counts: 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 60:
        return f"{max(0, int(seconds))} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24:,} d {hours % 24} h"


@register.simple_tag
@lru_cache(maxsize=5000)
def address(view: str, of: str) -> str:
    """Of a page of the dashboard; `reverse` takes a tenth of a millisecond for each."""
    return reverse(f"dashboard:{view}", args=[of])


def title(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


@register.simple_tag
def since(moment: datetime) -> SafeString:
    """How long ago that was; live.js counts on."""
    text = lasting((timezone.now() - moment).total_seconds())
    form = '<time class="quiet" datetime="{0}" title="{1}"><span data-since="{0}">{2}</span> ago</time>'
    return format_html(form, moment.isoformat(), title(moment), text)


@register.simple_tag
def countdown(moment: datetime) -> SafeString:
    """How long until then; live.js counts on."""
    left = (moment - timezone.now()).total_seconds()
    text = f"in {lasting(left)}" if left > 0 else "now"
    form = '<time datetime="{0}" title="{1}" data-countdown="{0}">{2}</time>'
    return format_html(form, moment.isoformat(), title(moment), text)


@register.simple_tag
def due(policy: Any) -> SafeString:
    """When the schedule starts the policy's next run."""
    if not policy.enabled:
        return mark_safe('<span class="quiet">not while disabled</span>')
    if not policy.is_due:
        return countdown(policy.next_run_at)
    form = '<time datetime="{}" title="{}">{}</time>'
    text = "after this run" if policy.active else "now"
    return format_html(form, policy.next_run_at.isoformat(), title(policy.next_run_at), text)


@register.simple_tag
def last(policy: Any) -> SafeString:
    """How the policy's last run ended, and when."""
    run = policy.last
    if run is None:
        return NO_RUN
    form = '<a class="outcome {0}" href="{1}">{0}</a> {2}'
    return format_html(form, run.status, address("run", run.run_id), since(run.finished_at))


@register.simple_tag
def state(policy: Any, bar: bool = True) -> SafeString:
    """What the policy does now; with a bar that live.js moves, where one is wanted."""
    active = policy.active
    word = active.run.status if active else "waiting" if policy.enabled else "disabled"
    shown = format_html('<span class="state {0}">{0}</span>', word)
    if not bar or active is None or active.waits:
        return shown
    form = (
        '{0} <span class="small-progress" data-run="{1}">'
        '<progress value="{2}" max="1" data-share aria-label="Progress of run {1}"></progress></span>'
    )
    return format_html(form, shown, active.run.run_id, f"{active.share:.4f}")


@register.simple_tag
def strip(record: Any) -> SafeString:
    """The share of the last runs that succeeded, and a line for each of them."""
    if not record.total:
        return NO_RUN
    form = (
        '<span class="rate">{}</span> <svg class="strip" viewBox="0 0 {w} 14" width="{w}" height="14" role="img" '
        'aria-label="{} of the last {} runs succeeded"><path class="ok" d="{}"/><path class="bad" d="{}"/></svg>'
    )
    paths = (record.succeeded_path, record.failed_path)
    return format_html(form, share(record.rate), record.succeeded, record.total, *paths, w=record.width)
