"""The overview page: the state of the system, the runs under way, and the list of policies."""

from typing import Any
from urllib.parse import quote

from django import forms
from django.core.paginator import Paginator
from django.utils import timezone

from dashboard.access import Page
from dashboard.charts.results import newest_results
from dashboard.pages import system_state
from dashboard.pages.active_runs import active_runs, current_stream_id
from dashboard.pages.policy_states import RECORD, add_states
from rl_training.decisions.standing import standings
from rl_training.models import PolicyStore, PolicyStoreQuerySet, TrainingRun, Validation
from rl_training.presence import heartbeats
from rl_training.validation import gate
from rl_training.versions.live import live_of

POLICIES_PER_PAGE = 50
# The top of the page shows this number of runs and of walk-forwards under way, and links to the complete lists.
RUNS_WATCHED = 6
# The small curve of a policy shows this number of its newest versions.
VERSIONS_DRAWN = 12


class PolicyFilter(forms.Form):
    """The filter of the list of policies."""

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
    """The overview: whether training is healthy, which runs are under way, and the state of every policy."""

    template_name = "dashboard/policies.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        return super().get_context_data(after=after, **self.health(), **self.under_way(), **self.listed(), **kwargs)

    def health(self) -> dict[str, Any]:
        state = system_state.STATE.get()
        found = system_state.problems(state, self.request.user)
        kind, sentence = system_state.verdict(found, system_state.open_alerts(self.request.user))
        return {"parts": system_state.parts(state), "problems": found, "kind": kind, "sentence": sentence}

    def under_way(self) -> dict[str, Any]:
        statuses = list(TrainingRun.objects.active().values_list("status", flat=True).order_by())
        next_due = PolicyStore.objects.filter(enabled=True, next_run_at__gt=timezone.now()).order_by("next_run_at")
        watched = TrainingRun.objects.watched()
        if not ("queued" in statuses and heartbeats.workers_are_preparing()):
            watched = watched.filter(status="running")
        walking = Validation.objects.active()
        return {
            "walking": walking.listed().with_progress().order_by("requested_at")[:RUNS_WATCHED],
            "walking_in_all": walking.count(),
            "running": statuses.count("running"),
            "queued": statuses.count("queued"),
            "next_due": next_due.first(),
            "watched": active_runs(watched[:RUNS_WATCHED]),
        }

    def listed(self) -> dict[str, Any]:
        form = PolicyFilter(self.request.GET)
        keys = form.policies().values_list("pk", flat=True)
        page = Paginator(keys, POLICIES_PER_PAGE).get_page(self.request.GET.get("page"))
        # An offset would make the database compute the records of the policies on the earlier pages too.
        policies: list[Any] = list(PolicyStore.objects.with_record(RECORD).filter(pk__in=list(page)).order_by("name"))
        add_states(policies)
        live = live_of([policy.pk for policy in policies])
        results = newest_results([policy.pk for policy in policies], VERSIONS_DRAWN)
        standing = standings([policy.pk for policy in policies], timezone.now())
        verdicts = gate.standings(policies)
        for policy in policies:
            policy.results, policy.live = results.get(policy.pk, []), live.get(policy.pk)
            policy.standing = standing.get(policy.pk)
            policy.gate = verdicts[policy.pk]
        query = self.request.GET.copy()
        query.pop("page", None)
        return {
            "form": form,
            "page": page,
            "query": query.urlencode(),
            "here": quote(self.request.get_full_path()),
            "may_train": self.request.user.has_perm("rl_training.add_trainingrun"),
            "policies": policies,
        }
