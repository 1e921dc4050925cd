"""The page of a policy."""

from typing import Any

from django.http import Http404
from django.utils import timezone

from dashboard.access import Page
from dashboard.charts.evaluations import ACCOUNTS, shown
from dashboard.charts.policies import charts_of
from dashboard.charts.results import VERSIONS_CHARTED, VERSIONS_LISTED, held_out, newest_results
from dashboard.pages import system_state
from dashboard.pages.active_runs import current_stream_id
from dashboard.pages.deploying.history import TimeForm
from dashboard.pages.deploying.shown import live_context
from dashboard.pages.policy_states import state_of
from rl_training.core.base_config import Config
from rl_training.core.config import SECTIONS
from rl_training.models import InvalidConfig, PolicyStore, TrainingRun
from rl_training.models.columns import large_run_columns
from rl_training.runs.next_start import next_start
from rl_training.schedule.ledger import passing_slots

RUNS_LISTED = 10
RANGES_LISTED = 10


class PolicyPage(Page):
    """A policy's state, runs and settings, its charts, and the evaluation of its newest version."""

    template_name = "dashboard/policy.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # Read first, so that the page receives every later event.
        after = current_stream_id()
        policy = state_of(kwargs["name"])
        if policy is None:
            raise Http404("There is no such policy.")
        # live.js fetches an open page again to update the sections that change with each run, and needs no others.
        again = "HX-Request" in self.request.headers
        return super().get_context_data(
            after=after,
            policy=policy,
            **live_context(policy, self.request.user),
            time_form=TimeForm(),
            **quality(policy),
            runs=list(TrainingRun.objects.recent(policy)[:RUNS_LISTED]),
            passing=passing_slots(policy, timezone.now()),
            slots=list(policy.slots.listed()[:RANGES_LISTED]),
            parts=system_state.parts(system_state.STATE.get()),
            again=again,
            **({} if again else settings_and_results(policy)),
            **kwargs,
        )


def quality(policy: PolicyStore) -> dict[str, Any]:
    """Return the results of the newest versions, the newest version first."""
    results = newest_results([policy.pk], VERSIONS_CHARTED).get(policy.pk, [])
    return {
        "results": results[: -VERSIONS_LISTED - 1 : -1],
        "held_out_chart": held_out(results) if results else None,
    }


def settings_and_results(policy: PolicyStore) -> dict[str, Any]:
    versions = policy.versions.select_related("run").defer(*large_run_columns("run"))
    version = versions.order_by("-number").first()
    return {
        "settings": settings_of(policy),
        "start": next_start(policy),
        "charts": charts_of(policy.name),
        "version": version,
        "evaluation": shown(version.evaluation) if version else None,
        "accounts": ACCOUNTS,
    }


def settings_of(policy: PolicyStore) -> list[dict[str, Any]]:
    """Return the name of each config with its `settings`, or with its `problems` when it is stored invalid."""
    return [{"name": name, **_settings(getattr(policy, name))} for name in SECTIONS]


def _settings(config: Config | InvalidConfig) -> dict[str, Any]:
    if isinstance(config, InvalidConfig):
        return {"problems": [str(problem) for problem in config.problems]}
    fields = type(config).model_fields.items()
    return {"settings": [(name, _plain(getattr(config, name)), field.description) for name, field in fields]}


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
