"""The charts of a policy, and the table of a chart, where a template shows them."""

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from dashboard.charts.chart_data import Chart
from dashboard.charts.chart_views import charts_of

register = template.Library()
register.simple_tag(charts_of)


@register.simple_tag
def chart_rows(chart: Chart) -> SafeString:
    """The rows of the table, escaped; a template takes several times as long for so many cells."""
    rows = []
    for place, *texts in chart.rows:
        cells = "".join(f'<td class="number">{escape(text)}</td>' for text in texts)
        rows.append(f'<tr><th scope="row">{escape(place)}</th>{cells}</tr>')
    return mark_safe("\n".join(rows))  # noqa: S308 - of escaped texts
