"""The addresses that the browser draws charts from, and the same charts for the page itself."""

from collections.abc import Callable, Sequence
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from dashboard.access import Permitted
from dashboard.charts import chart_data, evaluations
from dashboard.charts.chart_data import EPISODES, MOST_EPISODES_READ, RUNS, Chart, Run
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun

Rewards = Sequence[Sequence[float | None]]


def runs_of(policy: str) -> Sequence[Run]:
    """The newest finished runs of the policy of that name, oldest first."""
    return list(TrainingRun.objects.charted(policy)[:RUNS])[::-1]


def rewards_by_episode(runs: Sequence[Run]) -> Rewards:
    """Of the newest of the runs, as many as have `EPISODES` episodes together, or the newest alone."""
    chosen: list[Any] = []
    total = 0
    for run in reversed(chart_data.succeeded(runs)):
        total += run["episodes_done"]
        if total > (EPISODES if chosen else MOST_EPISODES_READ):
            break
        chosen.append(run["pk"])
    read = TrainingRun.objects.filter(pk__in=chosen).order_by("finished_at")
    return list(read.values_list("episode_rewards", flat=True))


OF_RUNS: dict[str, Callable[[Sequence[Run]], Chart]] = {
    "rewards": chart_data.rewards,
    "episodes": lambda runs: chart_data.episodes(rewards_by_episode(runs)),
    "distribution": chart_data.distribution,
    "durations": chart_data.durations,
    "episode-durations": chart_data.episode_durations,
    "speed": chart_data.speed,
}


def charts_of(policy: str) -> dict[str, Chart]:
    """All charts of a policy; none before its first run has finished."""
    runs = runs_of(policy)
    return {key: chart(runs) for key, chart in OF_RUNS.items()} if runs else {}


@method_decorator(never_cache, name="dispatch")
class ChartData(Permitted, View):
    http_method_names = ("get", "head", "options")

    def get(self, request: HttpRequest, **address: Any) -> HttpResponse:
        return JsonResponse(self.chart(**address).as_json())

    def chart(self, **address: Any) -> Chart:
        raise NotImplementedError


class PolicyChart(ChartData):
    permission_required = "rl_training.view_trainingrun"

    def chart(self, name: str = "", key: str = "", **_: Any) -> Chart:
        runs = runs_of(name)
        if key not in OF_RUNS or not (runs or PolicyStore.objects.filter(name=name).exists()):
            raise Http404(f"There is no chart {key} of a policy {name}.")
        return OF_RUNS[key](runs)


class VersionChart(ChartData):
    permission_required = "rl_training.view_policyversion"

    def chart(self, name: str = "", number: int = 0, key: str = "", **_: Any) -> Chart:
        stored = PolicyVersion.objects.filter(policy__name=name, number=number)
        found = evaluations.charts(stored.values_list("evaluation", flat=True).first())
        if key not in found:
            raise Http404(f"There is no chart {key} of version {number} of a policy {name}.")
        return found[key]
