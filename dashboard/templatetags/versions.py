"""The rows and headings of the list of versions."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from dashboard.templatetags.figures import MISSING, figure, percent
from dashboard.templatetags.results import SHAPES

register = template.Library()

ROW = """
<tr>
  <td><input type="checkbox" name="version" value="{}" aria-label="Version {}"></td>
  <th scope="row" class="nowrap"><a href="{}">version {}</a></th>
  <td class="nowrap"><time datetime="{}">{}</time></td>
  <td class="nowrap">{}</td>
  <td class="text">{}</td>
  <td class="number">{}</td>
  <td class="number nowrap">{} <strong>{}</strong></td>
  <td class="number">{}</td>
  <td class="number">{}</td>
  <td class="number">{}</td>
  <td class="number">{}</td>
  <td class="number">{}</td>
  <td class="number">{}</td>
  <td class="number">{}</td>
</tr>"""
# The headings of the columns that the list cannot be sorted by, and the names of all columns after the checkbox.
UNSORTED = {"market": "Market", "flat": "Flat", "hold": "Buy and hold", "reward": "Training reward"}
ORDER = (
    *("number", "created_at", "live", "market", "held_out_bars", "held_out_return", "flat", "hold", "sharpe"),
    *("max_drawdown", "turnover", "time_in_market", "reward"),
)
TEXTS = {"market"}


@register.simple_tag
def version_headings(headings: Iterable[Any], query: str) -> SafeString:
    """Return the cells of the headings; those of sortable columns are links. `query` holds the filter."""
    sortable = {heading["sort"].removeprefix("-"): heading for heading in headings}
    return format_html_join("", "{}", ((_heading(name, sortable.get(name), query),) for name in ORDER))


def _heading(name: str, heading: Any, query: str) -> SafeString:
    if heading is None:
        kind = "" if name in TEXTS else mark_safe(' class="number"')
        return format_html('<th scope="col"{}>{}</th>', kind, UNSORTED[name])
    kind = mark_safe(' class="number"') if heading["number"] else ""
    order = format_html(' aria-sort="{}"', heading["order"]) if heading["order"] else ""
    arrow = {"ascending": " \N{UPWARDS ARROW}", "descending": " \N{DOWNWARDS ARROW}"}.get(heading["order"], "")
    kept = "&".join(part for part in query.split("&") if part and not part.startswith("sort="))
    url = f"?{kept}&sort={heading['sort']}" if kept else f"?sort={heading['sort']}"
    form = '<th scope="col"{}{}><a href="{}">{}</a><span aria-hidden="true">{}</span></th>'
    return format_html(form, kind, order, url, heading["label"], arrow)


@register.simple_tag
def version_rows(versions: Iterable[Any]) -> SafeString:
    """Return the rows as HTML, escaped, of versions read `listed`, with `live` periods, a `name` and a `standing`."""
    return format_html_join("", ROW, (_cells(version) for version in versions))


def _cells(version: Any) -> tuple[object, ...]:
    return (
        version.name,
        version.number,
        reverse("dashboard:version", args=[version.policy.name, version.number]),
        version.number,
        version.created_at.isoformat(),
        f"{version.created_at:%Y-%m-%d %H:%M}",
        _live(version),
        version.market or MISSING,
        MISSING if version.held_out_bars is None else f"{version.held_out_bars:,}",
        _shape(version),
        percent(version.held_out_return),
        percent(version.flat_return),
        percent(version.buy_and_hold_return),
        _sharpe(version),
        percent(version.max_drawdown),
        figure(version.turnover),
        percent(version.time_in_market),
        figure(version.reward),
    )


def _shape(version: Any) -> SafeString:
    """Return how the version stands beside flat and buy and hold, as a shape with hidden words."""
    kind, words = version.standing
    form = '<span class="standing {}" title="{}"><span aria-hidden="true">{}</span>{}</span>'
    hidden = format_html('<span class="unseen">{}</span>', words)
    return format_html(form, kind, words, SHAPES[kind], hidden) if kind else mark_safe("")


def _sharpe(version: Any) -> str:
    interval = (version.sharpe_low, version.sharpe_high)
    bounds = "" if None in interval else f" ({interval[0]:.2f} to {interval[1]:.2f})"
    return MISSING if version.sharpe is None else f"{version.sharpe:.2f}{bounds}"


def _live(version: Any) -> str | SafeString:
    """Return the newest live period and the number of earlier periods; else whether the gate holds the version back."""
    periods = version.live
    if not periods:
        return format_html('<span title="{}">held back</span>', version.held_back) if version.held_back else MISSING
    newest, earlier = periods[-1], len(periods) - 1
    text = f"{_time(newest.since)} to {_time(newest.until) if newest.until else 'now'}"
    return f"{text}, {earlier} earlier" if earlier else text


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
