"""The tab *Versions* of a policy: which version to use."""

from typing import Any

from django import forms
from django.core.paginator import Paginator

from dashboard.charts.results import VERSIONS_CHARTED, held_out, newest_results, result_of_version, rewards
from dashboard.pages.deploying.shown import live_context
from dashboard.pages.policy.tabs import PolicyTab
from rl_training.models import PolicyVersion
from rl_training.models.versions import SORTABLE
from rl_training.versions.comparisons import MOST_VERSIONS
from rl_training.versions.live_periods import live_periods
from rl_training.versions.naming import name_of

VERSIONS_PER_PAGE = 50
# The columns of the list by their name in the URL: heading, and whether the column holds numbers.
COLUMNS = {
    "number": ("Version", False),
    "created_at": ("Made (UTC)", False),
    "held_out_bars": ("Bars", True),
    "held_out_return": ("Held-out return", True),
    "sharpe": ("Sharpe ratio (95 %)", True),
    "max_drawdown": ("Drawdown", True),
    "turnover": ("Turnover", True),
    "time_in_market": ("In market", True),
    "live": ("Live (UTC)", False),
}
SORTS = ("number", *SORTABLE, "live")
# The first click on these headings shows the smallest value first, because it is the best.
ASCENDING_FIRST = {"max_drawdown"}


class VersionFilter(forms.Form):
    """The order and the filter of the list in its URL."""

    sort = forms.ChoiceField(required=False, choices=[(f"{sign}{name}", name) for name in SORTS for sign in ("", "-")])
    market = forms.CharField(required=False)

    def __init__(self, *args: Any, markets: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "any"), *((market, market or "unknown") for market in markets if market)]
        self.fields["market"] = forms.ChoiceField(required=False, choices=choices)

    def chosen(self) -> tuple[str, bool, str]:
        """Return the column, whether it descends, and the market; an invalid choice counts as the default."""
        self.is_valid()
        sort = self.cleaned_data.get("sort") or "-number"
        return sort.removeprefix("-"), sort.startswith("-"), self.cleaned_data.get("market", "")


class VersionListPage(PolicyTab):
    """The versions of a policy: training and held-out rewards over versions, and a list to sort and to compare."""

    permission_required = ("rl_training.view_policystore", "rl_training.view_policyversion")
    template_name = "dashboard/policy/versions.html"
    tab = "policy-versions"

    def content(self, policy: Any, again: bool) -> dict[str, Any]:
        versions = PolicyVersion.objects.of_policy(policy.pk)
        markets = list(versions.order_by("market").values_list("market", flat=True).distinct())
        form = VersionFilter(self.request.GET, markets=markets)
        sort, descending, market = form.chosen()
        if market:
            versions = versions.filter(market=market)
        ordered = versions.in_order(sort, descending=descending)
        page = Paginator(ordered.values_list("pk", flat=True), VERSIONS_PER_PAGE).get_page(self.request.GET.get("page"))
        # The rows of one page are read by their keys: ordering all versions needs no other columns.
        keys = list(page)
        rows = PolicyVersion.objects.listed().in_bulk(keys)
        found: list[Any] = [rows[key] for key in keys]
        periods = live_periods([version.pk for version in found])
        for version in found:
            version.policy, version.live = policy, periods.get(version.pk, [])
            version.name, version.standing = name_of(version), result_of_version(version).standing
        results = newest_results([policy.pk], VERSIONS_CHARTED).get(policy.pk, [])
        return {
            **live_context(policy, self.request.user),
            "versions": found,
            "page": page,
            "form": form if len(markets) > 1 else None,
            "headings": [_heading(name, sort, descending) for name in COLUMNS],
            "query": self._query(page=None),
            "result": results[-1] if results else None,
            "most": MOST_VERSIONS,
            **(
                {}
                if again or not results
                else {"charts": {"versions": rewards(policy.pk), "held-out": held_out(results)}}
            ),
        }

    def _query(self, **changes: str | None) -> str:
        query = self.request.GET.copy()
        for name, value in changes.items():
            query.pop(name, None)
            if value is not None:
                query[name] = value
        return query.urlencode()


def _heading(name: str, sort: str, descending: bool) -> dict[str, Any]:
    """Return the heading of a column with the order that a click on it gives."""
    label, number = COLUMNS[name]
    turned = not descending if name == sort else name not in ASCENDING_FIRST
    order = ("descending" if descending else "ascending") if name == sort else ""
    return {"label": label, "number": number, "sort": f"{'-' if turned else ''}{name}", "order": order}
