"""Comparing versions: the list of comparisons, the question, a comparison, and its cancellation."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse

from dashboard.access import Page
from dashboard.charts.comparisons import charts_of, metrics_of
from dashboard.pages.run_configs import flat
from rl_training.models import Comparison, PolicyVersion
from rl_training.runs import work_lifecycle
from rl_training.versions import comparisons
from rl_training.versions.comparison_reports import answer, pairs_of
from rl_training.versions.comparisons import FEWEST_VERSIONS, MOST_VERSIONS, CannotCompareError
from rl_training.versions.naming import UnknownVersionError, find_versions, name_of, parse

PER_PAGE = 50
MARKET_KEYS = ("first", "last", "bars", "digest")
ADD, CHANGE = "rl_training.add_comparison", "rl_training.change_comparison"


def page_of(comparison: Comparison) -> str:
    """Return the URL of a comparison."""
    return reverse("dashboard:comparison", args=[comparison.comparison_id])


def question_url(versions: list[PolicyVersion]) -> str:
    """Return the URL of the question that compares these versions again."""
    query = QueryDict(mutable=True)
    query.setlist("version", [name_of(version) for version in versions])
    return f"{reverse('dashboard:new-comparison')}?{query.urlencode()}&again=1"


class ComparisonListPage(Page):
    """All comparisons, newest first."""

    permission_required = "rl_training.view_comparison"
    template_name = "dashboard/comparisons/list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = Comparison.objects.defer("result").select_related("requested_by")
        page = Paginator(found, PER_PAGE).get_page(self.request.GET.get("page"))
        rows = [(comparison, [str(version) for version in comparison.compared()]) for comparison in page]
        return super().get_context_data(page=page, rows=rows, **kwargs)


class NewComparisonPage(Page):
    """Asks whether to compare the versions in the URL, or shows the existing comparison of these versions."""

    permission_required = "rl_training.view_comparison"
    template_name = "dashboard/comparisons/new.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        versions, problem = chosen(request.GET)
        existing = comparisons.newest_of([version.pk for version in versions]) if versions and not problem else None
        if existing is not None and not request.GET.get("again"):
            return HttpResponseRedirect(page_of(existing))
        return self.ask(versions, problem, existing)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Request the comparison and show it."""
        if not request.user.has_perm(ADD):
            return self.refuse(request)
        versions, problem = chosen(request.POST)
        if not problem:
            try:
                comparison = comparisons.request(versions, user=request.user)
            except CannotCompareError as error:
                problem = str(error)
            else:
                return HttpResponseRedirect(page_of(comparison))
        return self.ask(versions, problem)

    def ask(self, versions: list[PolicyVersion], problem: str, existing: Comparison | None = None) -> HttpResponse:
        names = [(name_of(version), str(version)) for version in versions]
        return self.render_to_response(
            self.get_context_data(names=names, problem=problem, existing=existing, fewest=FEWEST_VERSIONS)
        )


def chosen(query: QueryDict) -> tuple[list[PolicyVersion], str]:
    """Return the versions that `version` names, each once, and why they cannot be compared; empty if they can."""
    texts = list(dict.fromkeys(text.strip() for text in query.getlist("version") if text.strip()))[: MOST_VERSIONS + 1]
    try:
        versions = find_versions([parse(text) for text in texts])
        if len(versions) >= FEWEST_VERSIONS:
            comparisons.check(versions)
    except UnknownVersionError as error:
        return [], str(error)
    except CannotCompareError as error:
        return versions, str(error)
    return versions, ""


class ComparisonPage(Page):
    """A comparison: the answer, the curves, the differences, the bars, and what differs in config and data."""

    permission_required = "rl_training.view_comparison"
    template_name = "dashboard/comparisons/comparison.html"

    def get_context_data(self, comparison_id: str = "", **kwargs: Any) -> dict[str, Any]:
        comparison = comparisons.find(comparison_id)
        if comparison is None:
            raise Http404(f"There is no comparison {comparison_id}.")
        versions: list[Any] = list(comparison.compared())
        names, metrics = metrics_of(comparison.result)
        return super().get_context_data(
            comparison=comparison,
            active=comparison.status in Comparison.ACTIVE,
            versions=versions,
            answer=answer(comparison),
            pairs=pairs_of(comparison.result),
            charts=charts_of(comparison.result),
            names=names,
            metrics=metrics,
            costs=_costs(comparison.result),
            settings_and_data=[
                ("Settings of their runs", _differing([flat(version.config) for version in versions])),
                ("Data of their runs", _differing([_data(version.data) for version in versions])),
            ],
            again=question_url(versions),
            **kwargs,
        )


def _costs(result: Any) -> list[tuple[str, str]]:
    costs = result.get("costs") if isinstance(result, dict) else None
    return [(name, f"{value:g}") for name, value in costs.items()] if isinstance(costs, dict) else []


def _data(summary: Any) -> dict[str, str]:
    """Return what a run stored about its bars, as text."""
    summary = summary if isinstance(summary, dict) else {}
    return {name: str(summary[name]) for name in MARKET_KEYS if name in summary}


def _differing(versions: list[dict[str, str]]) -> list[tuple[str, list[str]]]:
    """Return the entries that are not the same in all versions: the name, and the value of each version."""
    names = dict.fromkeys(name for version in versions for name in version)
    rows = [(name, [version.get(name, "-") for version in versions]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


class CancelComparison(Page):
    """The question whether to cancel a comparison, and its answer."""

    permission_required = ("rl_training.view_comparison", CHANGE)
    template_name = "dashboard/question.html"
    yes, no, danger = "Cancel the comparison", "Let it finish", True
    comparison: Comparison

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if request.user.has_perms(self.permission_required):
            found = comparisons.find(kwargs["comparison_id"])
            if found is None:
                raise Http404("There is no such comparison.")
            self.comparison = found

    def question(self) -> str:
        return f"Cancel comparison {self.comparison}?"

    def consequence(self) -> str:
        if self.comparison.status in Comparison.ACTIVE:
            return "The comparison gets no result. The same versions can be compared again."
        return f"The comparison has ended already: {self.comparison.status}."

    def back(self) -> str:
        return page_of(self.comparison)

    def get_template_names(self) -> list[str]:
        return ["dashboard/question_form.html" if "HX-Request" in self.request.headers else self.template_name]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if work_lifecycle.cancel(self.comparison):
            messages.success(request, f"Comparison {self.comparison} is cancelled.")
        else:
            messages.warning(request, f"Nothing to cancel: comparison {self.comparison} has ended already.")
        return HttpResponseRedirect(self.back())
