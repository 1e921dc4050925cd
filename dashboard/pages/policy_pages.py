"""The overview of all policies, and the page of one."""

from typing import Any
from urllib.parse import quote

import pydantic
from django import forms
from django.core.paginator import Paginator
from django.http import Http404
from django.utils import timezone

from dashboard.access import Page
from dashboard.charts.evaluations import ACCOUNTS, shown
from dashboard.pages import overview
from dashboard.pages.active_runs import active_runs, moment_of_streams
from dashboard.pages.policy_states import RECORD, add_states, state_of
from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import problems
from rl_training.models import PolicyStore, PolicyStoreQuerySet, TrainingRun

POLICIES_PER_PAGE = 50
RUNS_LISTED = 10
# Under way at once and shown at the top; a list of all is one click away.
RUNS_WATCHED = 6


class PolicyFilter(forms.Form):
    """What the overview lists."""

    name = forms.CharField(required=False, max_length=50, label="Name contains")
    show = forms.ChoiceField(
        required=False,
        label="Show",
        choices=[("", "all"), ("active", "queued or running"), ("failing", "failing"), ("disabled", "disabled")],
    )

    def policies(self) -> PolicyStoreQuerySet:
        found = PolicyStore.objects.order_by("name")
        wanted = self.cleaned_data if self.is_valid() else {}
        if wanted.get("name"):
            found = found.filter(name__contains=wanted["name"].lower())
        match wanted.get("show"):
            case "active":
                found = found.filter(pk__in=TrainingRun.objects.active().values("policy"))
            case "failing":
                found = found.failing()
            case "disabled":
                found = found.filter(enabled=False)
        return found


class OverviewPage(Page):
    """Whether training is healthy, what runs now, and every policy with its state."""

    template_name = "dashboard/policies.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # Before anything is read: what is announced from then on comes as a live event.
        after = moment_of_streams()
        form = PolicyFilter(self.request.GET)
        page = Paginator(form.policies().values_list("pk", flat=True), POLICIES_PER_PAGE).get_page(
            self.request.GET.get("page")
        )
        # By their ids: the records of those on the pages before would be read too.
        policies = list(PolicyStore.objects.with_record(RECORD).filter(pk__in=list(page)).order_by("name"))
        add_states(policies)
        state = overview.STATE.get()
        found = overview.problems(state, self.request.user)
        kind, sentence = overview.verdict(found)
        statuses = list(TrainingRun.objects.active().values_list("status", flat=True).order_by())
        next_due = PolicyStore.objects.filter(enabled=True, next_run_at__gt=timezone.now()).order_by("next_run_at")
        query = self.request.GET.copy()
        query.pop("page", None)
        return super().get_context_data(
            after=after,
            form=form,
            page=page,
            query=query.urlencode(),
            here=quote(self.request.get_full_path()),
            may_train=self.request.user.has_perm("rl_training.add_trainingrun"),
            policies=policies,
            parts=overview.parts(state),
            problems=found,
            kind=kind,
            sentence=sentence,
            running=statuses.count("running"),
            queued=statuses.count("queued"),
            next_due=next_due.only("name", "next_run_at").first(),
            watched=active_runs(TrainingRun.objects.watched().filter(status="running")[:RUNS_WATCHED]),
            **kwargs,
        )


class PolicyPage(Page):
    """A policy: its state, its runs, its settings, and how its newest version did on bars it was not trained on."""

    template_name = "dashboard/policy.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        after = moment_of_streams()
        policy = state_of(kwargs["name"])
        if policy is None:
            raise Http404("There is no such policy.")
        # What a page that is shown already fetches again is what changes with each run.
        again = "HX-Request" in self.request.headers
        return super().get_context_data(
            after=after,
            policy=policy,
            runs=list(TrainingRun.objects.recent(policy)[:RUNS_LISTED]),
            parts=overview.parts(overview.STATE.get()),
            again=again,
            **({} if again else standing(policy)),
            **kwargs,
        )


def standing(policy: PolicyStore) -> dict[str, Any]:
    """Its settings, and how its newest version did."""
    version = policy.versions.select_related("run").order_by("-number").first()
    return {
        "settings": settings_of(policy),
        "version": version,
        "evaluation": shown(version.evaluation) if version else None,
        "accounts": ACCOUNTS,
    }


def settings_of(policy: PolicyStore) -> list[dict[str, Any]]:
    """The typed columns, each with its settings, or with what is wrong with it."""
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
