"""The page of a policy."""

from typing import Any

import pydantic
from django.http import Http404

from dashboard.access import Page
from dashboard.charts.evaluations import ACCOUNTS, shown
from dashboard.charts.policies import charts_of
from dashboard.pages import system_state
from dashboard.pages.active_runs import current_stream_id
from dashboard.pages.policy_states import state_of
from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import problems
from rl_training.models import PolicyStore, TrainingRun

RUNS_LISTED = 10


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
            runs=list(TrainingRun.objects.recent(policy)[:RUNS_LISTED]),
            parts=system_state.parts(system_state.STATE.get()),
            again=again,
            **({} if again else settings_and_results(policy)),
            **kwargs,
        )


def settings_and_results(policy: PolicyStore) -> dict[str, Any]:
    version = policy.versions.select_related("run").order_by("-number").first()
    return {
        "settings": settings_of(policy),
        "charts": charts_of(policy.name),
        "version": version,
        "evaluation": shown(version.evaluation) if version else None,
        "accounts": ACCOUNTS,
    }


def settings_of(policy: PolicyStore) -> list[dict[str, Any]]:
    """Return the name of each typed column with its `settings`, or with its `problems` when it is invalid."""
    stored = PolicyStore.objects.filter(pk=policy.pk).values(*SECTIONS).get()
    return [{"name": name, **_settings(config, stored[name])} for name, config in SECTIONS.items()]


def _settings(config: Any, stored: Any) -> dict[str, Any]:
    try:
        values = stored if isinstance(stored, config) else config.model_validate(stored)
    except pydantic.ValidationError as error:
        return {"problems": [f"{path}: {message}" if path else message for path, message in problems(error).items()]}
    fields = config.model_fields.items()
    return {"settings": [(name, _plain(getattr(values, name)), field.description) for name, field in fields]}


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_plain(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
