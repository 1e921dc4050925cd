"""The list of runs, a run, and a version that one made."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, QueryDict

from dashboard.access import Page
from dashboard.charts.evaluations import ACCOUNTS, shown
from dashboard.pages.active_runs import active_runs, moment_of_streams
from dashboard.timestamps import in_utc
from rl_training.admin.policy_history import changes
from rl_training.core.config import SECTIONS
from rl_training.models import PolicyStore, PolicyVersion, TrainingRun, TrainingRunQuerySet
from rl_training.models.columns import large_run_columns
from rl_training.models.policies import typed_columns

RUNS_PER_PAGE = 50
# To choose from; the name of another policy can be typed.
POLICIES_OFFERED = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CONFIG_KEYS = (
    "episodes",
    "seed",
    *(f"{name}.{field}" for name, of in SECTIONS.items() for field in of.model_fields),
)
MARKET_KEYS = ("name", "digest", "first", "last", "bars", "gaps")


def check_moment(moment: datetime) -> None:
    if in_utc(moment) is None:
        raise ValidationError("A moment of the years 1970 to 2999.")


class RunFilter(forms.Form):
    """What the list shows, as its address says it. `before` is the run that the page follows: see `cursor`."""

    policy = forms.CharField(required=False, max_length=50)
    status = forms.ChoiceField(required=False, choices=[("", "any"), *TrainingRun.Status.choices])
    trigger = forms.ChoiceField(required=False, choices=[("", "any"), *TrainingRun.Trigger.choices])
    since = forms.DateTimeField(required=False, label="Queued from (UTC)", validators=[check_moment])
    until = forms.DateTimeField(required=False, label="Queued until (UTC)", validators=[check_moment])
    before = forms.RegexField(required=False, regex=r"\A[0-9]{1,17}-[0-9]{1,18}\Z", widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["policy"].widget.attrs["list"] = "policy-names"
        for name in ("since", "until"):
            widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M", attrs={"type": "datetime-local"})
            self.fields[name].widget = widget

    def runs(self) -> TrainingRunQuerySet:
        """Newest first."""
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
    """Where a run stands in the list: when it was queued, in microseconds since 1970, and its id."""
    return f"{(run.queued_at - EPOCH) // timedelta(microseconds=1)}-{run.pk}"


class RunListPage(Page):
    """The runs of all policies, by filters, page by page."""

    permission_required = "rl_training.view_trainingrun"
    template_name = "dashboard/runs.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        form = RunFilter(self.request.GET)
        found = list(form.runs()[: RUNS_PER_PAGE + 1]) if form.is_valid() else []
        runs = found[:RUNS_PER_PAGE]
        names = PolicyStore.objects.order_by("name").values_list("name", flat=True)[:POLICIES_OFFERED]
        older = self.address(before=cursor(runs[-1])) if len(found) > RUNS_PER_PAGE else ""
        return super().get_context_data(
            form=form,
            runs=runs,
            names=names,
            older=older,
            newest=self.address(before="") if self.request.GET.get("before") else "",
            filtered=any(form.cleaned_data[name] for name in form.fields if name != "before" and form.is_valid()),
            **kwargs,
        )

    def address(self, before: str) -> str:
        query: QueryDict = self.request.GET.copy()
        query["before"] = before
        return "?" + "&".join(part for part in query.urlencode().split("&") if not part.endswith("="))


class RunPage(Page):
    """A run: what it was told, how it went, what it announced."""

    permission_required = "rl_training.view_trainingrun"
    template_name = "dashboard/run.html"

    def get_context_data(self, run_id: str = "", **kwargs: Any) -> dict[str, Any]:
        # Before anything is read: what is announced from then on comes as a live event.
        after = moment_of_streams()
        related = TrainingRun.objects.select_related("policy", "version", "initial_version")
        large = [*typed_columns("policy"), "version__evaluation", "initial_version__evaluation"]
        run = related.defer(*large).filter(run_id=run_id).first()
        if run is None:
            raise Http404(f"There is no run {run_id}.")
        active = next(iter(active_runs(TrainingRun.objects.watched().filter(pk=run.pk))), None)
        before = run.policy.runs.filter(queued_at__lt=run.queued_at).order_by("-queued_at")
        previous = before.values("run_id", "config").first()
        events = run.events.order_by("timestamp", "id")
        return super().get_context_data(
            after=after,
            active=active,
            run=run,
            policy=run.policy,
            version=getattr(run, "version", None),
            previous=previous,
            changes=config_changes(previous["config"], run.config) if previous else [],
            config=config_groups(run.config),
            market=in_order(run.market_summary, MARKET_KEYS) if isinstance(run.market_summary, dict) else {},
            events=[(event, pretty(event.payload)) for event in events],
            flower=f"{settings.FLOWER_URL.rstrip('/')}/task/{run.run_id}",
            **kwargs,
        )


def config_changes(old: Any, new: Any) -> list[dict[str, Any]]:
    """What differs between two snapshots, but for the seed, which is another in each."""
    before, after = flat(old), flat(new)
    return [change for change in changes(before, after) if change["field"] != "seed"]


def flat(config: Any) -> dict[str, str]:
    """The settings of a snapshot by key: `episodes`, `ppo.gamma` ..., as text."""
    found: dict[str, str] = {}
    for name, value in (config if isinstance(config, dict) else {}).items():
        if isinstance(value, dict):
            found |= {f"{name}.{field}": text(setting) for field, setting in value.items()}
        else:
            found[name] = text(value)
    return found


def config_groups(config: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """The snapshot's settings under the names and in the order that the policy's page has for them."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in in_order(flat(config), CONFIG_KEYS).items():
        group, _, field = key.rpartition(".")
        groups.setdefault(group or "training", []).append((field, value))
    return list(groups.items())


def in_order(found: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """The known keys first, as they are listed: PostgreSQL keeps no order within JSON."""
    return {key: found[key] for key in [*(key for key in keys if key in found), *sorted(found.keys() - set(keys))]}


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(text, value))
    return f"{value:g}" if isinstance(value, float) else sendable(str(value))


def pretty(value: Any) -> str:
    return sendable(json.dumps(value, indent=2, ensure_ascii=False))


def sendable(stored: str) -> str:
    """A lone surrogate can be stored in JSON but not sent as UTF-8."""
    return stored.encode("utf-8", "backslashreplace").decode("utf-8")


class VersionPage(Page):
    """A policy version: how it did on bars that it was not trained on."""

    permission_required = "rl_training.view_policyversion"
    template_name = "dashboard/version.html"

    def get_context_data(self, name: str = "", number: int = 0, **kwargs: Any) -> dict[str, Any]:
        versions = PolicyVersion.objects.filter(policy__name=name)
        large = [*typed_columns("policy"), *large_run_columns("run"), "parent__evaluation"]
        related = versions.select_related("policy", "run", "parent").defer(*large)
        version = related.filter(number=number).first()
        if version is None:
            raise Http404(f"There is no version {number} of a policy {name}.")
        return super().get_context_data(
            version=version,
            policy=version.policy,
            evaluation=shown(version.evaluation),
            accounts=ACCOUNTS,
            previous=number - 1,
            next=number + 1 if versions.filter(number=number + 1).exists() else None,
            **kwargs,
        )
