"""The JSON views that the browser reads chart data from."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from dashboard.access import Permitted
from dashboard.charts import arm_comparisons, comparisons, decisions, evaluations, results, storage, validations
from dashboard.charts.curves import chart_of
from dashboard.charts.policies import CHARTS, runs_of
from dashboard.charts.series import Chart
from rl_training.files.evaluations import complete
from rl_training.models import ArmComparison, Comparison, PolicyStore, PolicyVersion, StorageReading, Validation


@method_decorator(never_cache, name="dispatch")
class ChartData(Permitted, View):
    """A chart as JSON; a subclass finds the chart that the parts of the URL name."""

    http_method_names = ("get", "head", "options")

    def get(self, request: HttpRequest, **parts: Any) -> HttpResponse:
        return JsonResponse(self.chart(**parts).as_json())

    def chart(self, **parts: Any) -> Chart:
        raise NotImplementedError


class PolicyChart(ChartData):
    permission_required = "rl_training.view_trainingrun"

    def chart(self, name: str = "", key: str = "", **_: Any) -> Chart:
        if key in ("held-out", "versions"):
            return self.of_versions(name, key)
        runs = runs_of(name)
        if key not in CHARTS or not (runs or PolicyStore.objects.filter(name=name).exists()):
            raise Http404(f"There is no chart {key} of a policy {name}.")
        return CHARTS[key](runs)

    def of_versions(self, name: str, key: str) -> Chart:
        policy = PolicyStore.objects.filter(name=name).values_list("pk", flat=True).first()
        if policy is None:
            raise Http404(f"There is no policy {name}.")
        if key == "versions":
            return results.rewards(policy)
        return results.held_out(results.newest_results([policy], results.VERSIONS_CHARTED).get(policy, []))


class RunChart(ChartData):
    permission_required = "rl_training.view_trainingrun"

    def chart(self, run_id: str = "", key: str = "", **_: Any) -> Chart:
        found = chart_of(run_id, key)
        if found is None:
            raise Http404(f"There is no chart {key} of a run {run_id}.")
        return found


class VersionChart(ChartData):
    permission_required = "rl_training.view_policyversion"

    def chart(self, name: str = "", number: int = 0, key: str = "", **_: Any) -> Chart:
        stored = PolicyVersion.objects.filter(policy__name=name, number=number)
        version = stored.only("artifact", "evaluation").first()
        found = evaluations.charts(complete(version) if version else None)
        if key not in found:
            raise Http404(f"There is no chart {key} of version {number} of a policy {name}.")
        return found[key]


class DecisionChart(ChartData):
    permission_required = ("rl_training.view_decision", "rl_training.view_arm")

    def chart(self, name: str = "", key: str = "", **_: Any) -> Chart:
        policy = PolicyStore.objects.filter(name=name).values_list("pk", flat=True).first()
        found = decisions.equity(policy) if policy is not None and key == "equity" else None
        if found is None:
            raise Http404(f"There is no chart {key} of decisions of a policy {name}.")
        return found


class ComparisonChart(ChartData):
    permission_required = "rl_training.view_comparison"

    def chart(self, comparison_id: str = "", key: str = "", **_: Any) -> Chart:
        stored = Comparison.objects.filter(comparison_id=comparison_id).values_list("result", flat=True).first()
        found = comparisons.charts_of(stored)
        if key not in found:
            raise Http404(f"There is no chart {key} of a comparison {comparison_id}.")
        return found[key]


class ArmComparisonChart(ChartData):
    permission_required = "rl_training.view_armcomparison"

    def chart(self, comparison_id: str = "", key: str = "", **_: Any) -> Chart:
        stored = ArmComparison.objects.select_related("trial").filter(comparison_id=comparison_id).first()
        found = arm_comparisons.charts_of(stored) if stored else {}
        if key not in found:
            raise Http404(f"There is no chart {key} of a comparison {comparison_id} on new bars.")
        return found[key]


class ValidationChart(ChartData):
    permission_required = "rl_training.view_validation"

    def chart(self, validation_id: str = "", key: str = "", **_: Any) -> Chart:
        stored = Validation.objects.filter(validation_id=validation_id).values_list("result", flat=True).first()
        found = validations.charts_of(stored)
        if key not in found:
            raise Http404(f"There is no chart {key} of a validation {validation_id}.")
        return found[key]


class StorageChart(ChartData):
    permission_required = "rl_training.view_storagereading"

    def chart(self, **_: Any) -> Chart:
        found = storage.used(list(StorageReading.objects.order_by("at")))
        if found is None:
            raise Http404("There are fewer than two readings of the used storage.")
        return found
