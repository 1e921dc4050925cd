"""The pages. They work without JavaScript; with it, what changes is fetched again every few seconds."""

from typing import Any

import pydantic
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView

from dashboard.charts import BarChart, bar_chart, drawable
from dashboard.evaluations import ACCOUNTS, shown
from dashboard.templatetags.figures import figure
from rl_training.core.config import EnvironmentConfig, MarketConfig, PPOConfig
from rl_training.core.problems import problems
from rl_training.models import PolicyStore, TrainingRun

CONFIGS = {"market": MarketConfig, "environment": EnvironmentConfig, "ppo": PPOConfig}
RUNS_LISTED = 20
RUNS_CHARTED = 100
# Nothing but this site's own files; no script or style inside a page.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class Page(LoginRequiredMixin, TemplateView):
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = super().dispatch(request, *args, **kwargs)
        response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response["Cache-Control"] = "no-store"
        return response


class PolicyListPage(Page):
    """Every policy with its state."""

    template_name = "dashboard/policies.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        active = {run.policy_id: run for run in TrainingRun.objects.progress()}
        policies = list(PolicyStore.objects.with_outcome())
        for policy in policies:
            add_state(policy, active.get(policy.pk))
        return super().get_context_data(policies=policies, **kwargs)


class PolicyPage(Page):
    """A policy: its settings, its runs, and how its newest version did on bars that it was not trained on."""

    template_name = "dashboard/policy.html"

    def get_context_data(self, name: str, **kwargs: Any) -> dict[str, Any]:
        policy = PolicyStore.objects.with_outcome().filter(name=name).first()
        if policy is None:
            raise Http404(f"There is no policy {name}.")
        add_state(policy, TrainingRun.objects.progress().filter(policy=policy).first())
        runs = list(TrainingRun.objects.recent(policy)[:RUNS_CHARTED])
        version = policy.versions.select_related("run").order_by("-number").first()
        return super().get_context_data(
            policy=policy,
            settings=settings_of(policy),
            runs=runs[:RUNS_LISTED],
            rewards=reward_chart(runs),
            version=version,
            evaluation=shown(version.evaluation) if version else None,
            accounts=ACCOUNTS,
            **kwargs,
        )


def add_state(policy: Any, active: TrainingRun | None) -> None:
    """Give `policy` its active run, whether its slot has come, and the share of its finished runs that succeeded."""
    policy.active_run = active
    policy.is_due = policy.next_run_at <= timezone.now()
    policy.success_rate = policy.succeeded_runs / policy.total_runs if policy.total_runs else None


def settings_of(policy: PolicyStore) -> list[dict[str, Any]]:
    """The typed columns, each with its settings, or with what is wrong with it."""
    stored = PolicyStore.objects.filter(pk=policy.pk).values(*CONFIGS).get()
    return [{"name": name, **_settings(config, stored[name])} for name, config in CONFIGS.items()]


def _settings(config: type[pydantic.BaseModel], stored: Any) -> dict[str, Any]:
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


def reward_chart(runs: list[TrainingRun]) -> BarChart | None:
    """The mean reward of each run, oldest first; None without a run. `runs` are newest first."""
    if not runs:
        return None
    bars = []
    for run in reversed(runs):
        reward = run.avg_reward if drawable(run.avg_reward) else None
        outcome = f"average reward {figure(reward)}" if reward is not None else run.status
        kind = "failed" if reward is None else "loss" if reward < 0 else "gain"
        bars.append((kind, f"{run.finished_at:%Y-%m-%d %H:%M} UTC, run {run.run_id}: {outcome}", reward))
    first, last = runs[-1].finished_at, runs[0].finished_at
    title = f"Average reward of each of the last {len(runs)} finished runs, oldest first."
    return bar_chart(title, bars, (f"{first:%Y-%m-%d %H:%M}", f"{last:%Y-%m-%d %H:%M} UTC"))
