"""What an operator does from the pages: a question first, on a page of its own or in a dialog, then a POST."""

from typing import Any

import pydantic
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from dashboard.access import VIEW, Page
from rl_training.core.config_problems import problems
from rl_training.models import PolicyStore, TrainingRun
from rl_training.models.policies import TYPED_COLUMNS, typed_columns
from rl_training.runs import lifecycle

CHANGE_POLICY = "rl_training.change_policystore"


class Action(Page):
    """GET asks, POST does; both tell nothing to those who may not."""

    template_name = "dashboard/question.html"
    # The question, what follows from a yes, and the buttons of yes and no.
    question, consequence, yes, no = "", "", "", "Leave it as it is"
    danger = False
    policy: PolicyStore

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if request.user.has_perms(self.permission_required):
            self.find(**kwargs)

    def find(self, name: str) -> None:
        found = PolicyStore.objects.defer(*TYPED_COLUMNS).filter(name=name).first()
        if found is None:
            raise Http404("There is no such policy.")
        self.policy = found

    def get_template_names(self) -> list[str]:
        return ["dashboard/question_form.html" if "HX-Request" in self.request.headers else self.template_name]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            self.act()
        except (ValidationError, pydantic.ValidationError) as error:
            found = problems(error) if isinstance(error, pydantic.ValidationError) else {"": " ".join(error.messages)}
            said = "; ".join(f"{path}: {text}" if path else text for path, text in found.items())
            messages.error(request, f"Nothing was done: what is stored of {self.policy} is invalid. {said}")
        return HttpResponseRedirect(self.back())

    def act(self) -> None:
        raise NotImplementedError

    def back(self) -> str:
        """The page that the question was asked from."""
        url = self.request.POST.get("next") or self.request.GET.get("next") or ""
        if url_has_allowed_host_and_scheme(url, self.request.get_host(), self.request.is_secure()):
            return url
        return self.home()

    def home(self) -> str:
        """The page of what the question is about."""
        return reverse("dashboard:policy", args=[self.policy.name])

    def note(self, text: str, row: Any = None) -> None:
        """In the history of the row, by default the policy's, in the admin."""
        LogEntry.objects.log_actions(str(self.request.user.pk), [row or self.policy], CHANGE, text, single_object=True)


class TrainNow(Action):
    permission_required = (*VIEW, "rl_training.add_trainingrun")
    yes, no = "Train now", "Not now"

    @property
    def question(self) -> str:  # type: ignore[override]
        return f"Train {self.policy} now?"

    @property
    def consequence(self) -> str:  # type: ignore[override]
        active = self.policy.runs.active().first()
        if active is not None:
            return f"It has a {active.status} run, {active.run_id}: another can start when that one has ended."
        episodes = self.policy.episodes_per_run
        return f"A run of {episodes:,} episode{'s' if episodes != 1 else ''} is queued. The schedule goes on as it is."

    def act(self) -> None:
        try:
            run = lifecycle.enqueue(PolicyStore.objects.get(pk=self.policy.pk), TrainingRun.Trigger.ADMIN)
        except lifecycle.AlreadyActiveError as error:
            messages.warning(self.request, f"Nothing was queued: {error}.")
            return
        self.note(f"Queued training run {run.run_id}.")
        messages.success(self.request, f"Run {run.run_id} of {self.policy} is queued.")


class Switch(Action):
    permission_required = (*VIEW, CHANGE_POLICY)
    enabled: bool
    word: str

    @property
    def question(self) -> str:  # type: ignore[override]
        return f"{self.yes} {self.policy}?"

    def act(self) -> None:
        if self.policy.enabled == self.enabled:
            messages.info(self.request, f"{self.policy} was {self.word} already.")
            return
        policy = PolicyStore.objects.get(pk=self.policy.pk)
        policy.enabled = self.enabled
        # Not the other settings: they may have been edited since they were read.
        policy.save(update_fields=["enabled", "updated_at"])
        self.note(f"{self.word.capitalize()}.")
        messages.success(self.request, f"{self.policy} is {self.word}.")


class Enable(Switch):
    enabled, word, yes = True, "enabled", "Enable"

    @property
    def consequence(self) -> str:  # type: ignore[override]
        if self.policy.next_run_at <= timezone.now():
            return "Its slot has come: a run starts at once."
        return f"Its next run is due at {self.policy.next_run_at:%Y-%m-%d %H:%M:%S} UTC."


class Disable(Switch):
    enabled, word, yes, danger = False, "disabled", "Disable", True
    consequence = "The schedule starts no more runs of it. A run that is queued or running goes on."


class CancelRun(Action):
    permission_required = (*VIEW, "rl_training.change_trainingrun")
    yes, no, danger = "Cancel the run", "Let it go on", True
    run: TrainingRun

    def find(self, run_id: str) -> None:
        runs = TrainingRun.objects.select_related("policy").defer(*typed_columns("policy"))
        found = runs.filter(run_id=run_id).first()
        if found is None:
            raise Http404("There is no such run.")
        self.run, self.policy = found, found.policy

    @property
    def question(self) -> str:  # type: ignore[override]
        return f"Cancel run {self.run.run_id} of {self.policy}?"

    @property
    def consequence(self) -> str:  # type: ignore[override]
        if self.run.status == TrainingRun.Status.QUEUED:
            return "It has not started: it is taken back at once."
        if self.run.status == TrainingRun.Status.RUNNING:
            return "It ends after its present iteration and makes no version. Its last checkpoint is kept."
        return f"It has ended already: {self.run.status}."

    def act(self) -> None:
        run = self.run
        if not lifecycle.cancel(run):
            run.refresh_from_db(fields=["status"])
            messages.warning(self.request, f"Nothing to cancel: run {run.run_id} has ended already, {run.status}.")
            return
        self.note(f"Cancelled training run {run.run_id}.")
        ended = run.status == TrainingRun.Status.CANCELLED
        how = "is cancelled" if ended else "ends after its present iteration"
        messages.success(self.request, f"Run {run.run_id} {how}.")
