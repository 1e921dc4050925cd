"""Cells of tables and tiles that show a policy.

A page has fifty of each, and a template takes ten times as long as a tag.
"""

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

# Cancelled runs do not count.
NO_RUN = mark_safe('<span class="quiet">none finished yet</span>')


def lasting(seconds: float) -> str:
    """Return a duration as times.js writes it: 12 s, 3 min 20 s, 2 h 5 min, 3 d 4 h."""
    if seconds < 60:
        return f"{max(0, int(seconds))} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24:,} d {hours % 24} h"


@register.simple_tag
@lru_cache(maxsize=5000)
def page_url(view: str, of: str) -> str:
    """Return the URL of a page of the dashboard. Cached, because `reverse` takes a tenth of a millisecond."""
    return reverse(f"dashboard:{view}", args=[of])


def title(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


@register.simple_tag
def since(time: datetime) -> SafeString:
    """Return how long ago the time was; times.js keeps counting."""
    text = lasting((timezone.now() - time).total_seconds())
    form = '<time class="quiet" datetime="{0}" title="{1}"><span data-since="{0}">{2}</span> ago</time>'
    return format_html(form, time.isoformat(), title(time), text)


@register.simple_tag
def age(time: datetime, stale_after: float | None = None) -> SafeString:
    """Return the duration since the time; times.js keeps counting.

    Beyond `stale_after` seconds, times.js marks the nearest element with `data-ages` as stale.
    """
    text = lasting((timezone.now() - time).total_seconds())
    stale = format_html(' data-stale-after="{}"', f"{stale_after:g}") if stale_after is not None else ""
    form = '<time datetime="{0}" title="{1}" data-since="{0}"{2}>{3}</time>'
    return format_html(form, time.isoformat(), title(time), stale, text)


@register.simple_tag
def countdown(time: datetime) -> SafeString:
    """Return how long it is until the time; times.js keeps counting."""
    left = (time - timezone.now()).total_seconds()
    text = f"in {lasting(left)}" if left > 0 else "now"
    form = '<time datetime="{0}" title="{1}" data-countdown="{0}">{2}</time>'
    return format_html(form, time.isoformat(), title(time), text)


@register.simple_tag
def due(policy: Any) -> SafeString:
    """Return when the schedule starts the policy's next run."""
    if not policy.enabled:
        return mark_safe('<span class="quiet">not while disabled</span>')
    if not policy.is_due:
        return countdown(policy.next_run_at)
    form = '<time datetime="{}" title="{}">{}</time>'
    text = "after this run" if policy.active else "now"
    return format_html(form, policy.next_run_at.isoformat(), title(policy.next_run_at), text)


@register.simple_tag
def last(policy: Any) -> SafeString:
    """Return the outcome of the policy's last finished run, and how long ago it ended."""
    run = policy.last
    if run is None:
        return NO_RUN
    form = '<a class="outcome {0}" href="{1}">{0}</a> {2}'
    return format_html(form, run.status, page_url("run", run.run_id), since(run.finished_at))


@register.simple_tag
def state(policy: Any, bar: bool = True) -> SafeString:
    """Return what the policy does now. With `bar`, a running policy has a progress bar, which live.js moves."""
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
    """Return the success rate of the last runs, and a drawing with a line for each of them."""
    if not record.total:
        return NO_RUN
    form = (
        '<span class="rate">{}</span> <svg class="strip" viewBox="0 0 {w} 14" width="{w}" height="14" role="img" '
        'aria-label="{} of the last {} runs succeeded"><path class="ok" d="{}"/><path class="bad" d="{}"/></svg>'
    )
    paths = (record.succeeded_path, record.failed_path)
    return format_html(form, share(record.rate), record.succeeded, record.total, *paths, w=record.width)
