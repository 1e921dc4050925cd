"""The list of runs, and the page of a run."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, QueryDict

from dashboard.access import Page
from dashboard.charts.curves import charts_of
from dashboard.pages.active_runs import active_runs, current_stream_id
from dashboard.pages.run_configs import computing_environment, config_changes, config_groups, market_rows
from dashboard.templatetags.figures import is_number, percent, seconds
from dashboard.timestamps import in_utc
from quantum_trader.text import encodable
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun, TrainingRunQuerySet
from rl_training.versions.live import live_of

RUNS_PER_PAGE = 50
# The filter suggests this number of policy names; users can type any other name.
POLICIES_SUGGESTED = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# The total returns of a version and of buy and hold on held-out bars.
RETURNS = ("held_out_return", "buy_and_hold_return")


def check_year(time: datetime) -> None:
    if in_utc(time) is None:
        raise ValidationError("A time in the years 1970 to 2999.")


class RunFilter(forms.Form):
    """The filter of the list in its URL. `before` is the `cursor` of the last run on the previous page."""

    policy = forms.CharField(required=False, max_length=50)
    status = forms.ChoiceField(required=False, choices=[("", "any"), *TrainingRun.Status.choices])
    trigger = forms.ChoiceField(required=False, choices=[("", "any"), *TrainingRun.Trigger.choices])
    since = forms.DateTimeField(required=False, label="Queued from (UTC)", validators=[check_year])
    until = forms.DateTimeField(required=False, label="Queued until (UTC)", validators=[check_year])
    before = forms.RegexField(required=False, regex=r"\A[0-9]{1,17}-[0-9]{1,18}\Z", widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["policy"].widget.attrs["list"] = "policy-names"
        for name in ("since", "until"):
            widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local"})
            self.fields[name].widget = widget

    def runs(self) -> TrainingRunQuerySet:
        """Return the runs that match, newest first."""
        wanted = self.cleaned_data
        runs = TrainingRun.objects.listed()
        if wanted["policy"]:
            runs = runs.of_policy(wanted["policy"])
        if wanted["status"]:
            runs = runs.filter(status=wanted["status"])
        if wanted["trigger"]:
            runs = runs.filter(trigger=wanted["trigger"])
        if wanted["since"]:
            runs = runs.filter(queued_at__gte=wanted["since"])
        if wanted["until"]:
            runs = runs.filter(queued_at__lt=wanted["until"])
        if wanted["before"]:
            microseconds, pk = map(int, wanted["before"].split("-"))
            runs = runs.older_than(EPOCH + timedelta(microseconds=microseconds), pk)
        return runs


def cursor(run: TrainingRun) -> str:
    """Return the run's position in the list: the time it was queued, in microseconds since 1970, and its id."""
    return f"{(run.queued_at - EPOCH) // timedelta(microseconds=1)}-{run.pk}"


class RunListPage(Page):
    """The runs of all policies with filters and pages."""

    permission_required = "rl_training.view_trainingrun"
    template_name = "dashboard/runs.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = RunFilter(self.request.GET)
        found = list(form.runs()[: RUNS_PER_PAGE + 1]) if form.is_valid() else []
        runs = found[:RUNS_PER_PAGE]
        names = PolicyStore.objects.order_by("name").values_list("name", flat=True)[:POLICIES_SUGGESTED]
        older = self.url(before=cursor(runs[-1])) if len(found) > RUNS_PER_PAGE else ""
        return super().get_context_data(
            form=form,
            runs=runs,
            names=names,
            older=older,
            newest=self.url(before="") if self.request.GET.get("before") else "",
            filtered=any(form.cleaned_data[name] for name in form.fields if name != "before" and form.is_valid()),
            **kwargs,
        )

    def url(self, before: str) -> str:
        query: QueryDict = self.request.GET.copy()
        query["before"] = before
        return "?" + "&".join(part for part in query.urlencode().split("&") if not part.endswith("="))


class RunPage(Page):
    """A run: its outcome, error, events, market data and config."""

    permission_required = "rl_training.view_trainingrun"
    template_name = "dashboard/run.html"

    def get_context_data(self, run_id: str = "", **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        related = TrainingRun.objects.select_related("policy", "version", "initial_version", "started_from")
        large = ["version__evaluation", "initial_version__evaluation", "started_from__evaluation"]
        run = related.with_origin().defer(*large).filter(run_id=run_id).first()
        if run is None:
            raise Http404(f"There is no run {run_id}.")
        active = next(iter(active_runs(TrainingRun.objects.watched().filter(pk=run.pk))), None)
        before = run.policy.runs.filter(queued_at__lt=run.queued_at).order_by("-queued_at")
        previous = before.values("run_id", "config").first()
        events = run.events.order_by("timestamp", "id")
        version, live = getattr(run, "version", None), live_of([run.policy_id]).get(run.policy_id)
        return super().get_context_data(
            after=after,
            active=active,
            run=run,
            policy=run.policy,
            version=version,
            is_live=bool(version and live and live.version_id == version.pk),
            start=run.initial_version if run.start_note is None else run.started_from,
            previous=previous,
            changes=config_changes(previous["config"], run.config) if previous else [],
            config=config_groups(run.config),
            market=market_rows(run.market_summary),
            computing=computing_environment(run.computing_environment),
            outcome=outcome(run),
            charts=charts_of(run),
            events=[(event, pretty(event.payload)) for event in events],
            flower=f"{settings.FLOWER_URL.rstrip('/')}/task/{run.run_id}",
            **kwargs,
        )


def outcome(run: TrainingRun) -> str:
    """Return how a run ended and what it made, in sentences; empty for an active run."""
    if run.finished_at is None:
        return ""
    how = f"{run.status.capitalize()} after {seconds(run.duration_seconds)}"
    made = PolicyVersion.objects.filter(run=run).values_list("number", *RETURNS).first()
    if made is None:
        return f"{how}, with {run.episodes_done:,} of {run.episodes:,} episodes done. It made no version."
    number, *returns = made
    sentence = f"{how}. It made version {number}."
    if not all(is_number(found) for found in returns):
        return sentence
    own, held = map(percent, returns)
    return f"{sentence} On held-out bars, version {number} returned {own}, buy and hold {held}, flat 0 %."


def pretty(value: Any) -> str:
    return encodable(json.dumps(value, indent=2, ensure_ascii=False))
