"""The charts of a policy, read from its newest finished runs."""

from collections.abc import Callable, Sequence
from typing import Any

from dashboard.charts import runs as run_charts
from dashboard.charts.markets import market_of
from dashboard.charts.runs import EPISODES, Run
from dashboard.charts.series import Chart, Value
from rl_training.models import TrainingRun

# Charts show this number of a policy's newest finished runs.
RUNS = 500
# The newest run may have more than `EPISODES`, and its rewards are thinned. Reading more than this many rewards would
# delay the page noticeably.
MOST_EPISODES_READ = 100_000


def runs_of(policy: str) -> Sequence[Run]:
    """Return the newest finished runs of the policy with that name, oldest first."""
    return list(TrainingRun.objects.charted(policy)[:RUNS])[::-1]


def episodes(runs: Sequence[Run]) -> Chart:
    """Return the chart of the newest successful runs' episodes: at most `EPISODES` episodes, but at least one run."""
    chosen: dict[Any, str] = {}
    total = 0
    for run in reversed(run_charts.succeeded(runs)):
        total += run["episodes_done"]
        if total > (EPISODES if chosen else MOST_EPISODES_READ):
            break
        chosen[run["pk"]] = market_of(run["market"])
    read = TrainingRun.objects.filter(pk__in=chosen).order_by("finished_at").values_list("pk", "episode_rewards")
    rewards: dict[Any, Sequence[Value]] = dict(read)
    return run_charts.episodes(list(rewards.values()), [chosen[pk] for pk in rewards])


# Charts by the key in their URL.
CHARTS: dict[str, Callable[[Sequence[Run]], Chart]] = {
    "rewards": run_charts.rewards,
    "episodes": episodes,
    "distribution": run_charts.distribution,
    "durations": run_charts.durations,
    "episode-durations": run_charts.episode_durations,
    "speed": run_charts.speed,
}


def charts_of(policy: str) -> dict[str, Chart]:
    """Return all charts of the policy with that name by key; empty before its first run has finished."""
    runs = runs_of(policy)
    return {key: chart(runs) for key, chart in CHARTS.items()} if runs else {}
