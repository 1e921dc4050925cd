"""Actions of operators on the pages: a GET shows a question, on its own page or in a dialog; a POST acts."""

from typing import Any, Generic, TypeVar

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from dashboard.access import VIEW, Page
from rl_training.models import InvalidConfigError, PolicyStore, TrainingRun
from rl_training.policy_edits import set_enabled
from rl_training.runs import lifecycle
from rl_training.runs.cancelling import how_it_ends
from rl_training.runs.trigger_form import RunOptionsForm
from rl_training.runs.triggering import trigger_run

CHANGE_POLICY = "rl_training.change_policystore"
F = TypeVar("F", bound=forms.BaseForm)


class Action(Page):
    """A page with a question about `policy` or about a row of it.

    Users who lack the permissions do not learn whether the row exists.
    """

    template_name = "dashboard/question.html"
    # The labels of the buttons.
    yes, no = "", "Leave it as it is"
    danger = False
    policy: PolicyStore

    def question(self) -> str:
        raise NotImplementedError

    def consequence(self) -> str:
        """Return what the action changes, in sentences."""
        raise NotImplementedError

    def act(self) -> None:
        """Act and leave a message for the next page. Raises a `ValidationError` when stored settings are invalid."""
        raise NotImplementedError

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        if request.user.has_perms(self.permission_required):
            self.find(**kwargs)

    def find(self, name: str = "", **parts: Any) -> None:
        """Set the row that the parts of the URL name, or raise 404."""
        found = PolicyStore.objects.filter(name=name).first()
        if found is None:
            raise Http404("There is no such policy.")
        self.policy = found

    def get_template_names(self) -> list[str]:
        return ["dashboard/question_form.html" if "HX-Request" in self.request.headers else self.template_name]

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            self.act()
        except InvalidConfigError as error:
            messages.error(request, f"Nothing was done: the stored settings of {self.policy} are invalid. {error}")
        return HttpResponseRedirect(self.back())

    def back(self) -> str:
        """Return the URL of the page that linked to the question."""
        url = self.request.POST.get("next") or self.request.GET.get("next") or ""
        if url_has_allowed_host_and_scheme(url, self.request.get_host(), self.request.is_secure()):
            return url
        return self.home()

    def home(self) -> str:
        """Return the URL of the page that shows the row in question."""
        return reverse("dashboard:policy", args=[self.policy.name])

    def log(self, text: str, row: Any = None) -> None:
        """Add an entry to the history that the admin shows for the row, by default for the policy."""
        LogEntry.objects.log_actions(str(self.request.user.pk), [row or self.policy], CHANGE, text, single_object=True)


class FormAction(Action, Generic[F]):
    """An action with a form of options: a form with invalid options is shown again."""

    form: F

    def make_form(self, data: Any = None) -> F:
        """Return the form, with the submitted data if there are any."""
        raise NotImplementedError

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(form=kwargs.pop("form", None) or self.make_form(), **kwargs)

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.form = self.make_form(request.POST)
        if not self.form.is_valid():
            return self.render_to_response(self.get_context_data(form=self.form, **kwargs))
        return super().post(request, **kwargs)


class TrainNow(FormAction[RunOptionsForm]):
    permission_required = (*VIEW, "rl_training.add_trainingrun")
    yes, no = "Train now", "Not now"

    def make_form(self, data: Any = None) -> RunOptionsForm:
        return RunOptionsForm([self.policy], data)

    def question(self) -> str:
        return f"Train {self.policy} now?"

    def consequence(self) -> str:
        active = self.policy.runs.active().first()
        if active is not None:
            return (
                f"The policy has a {active.status} run, {active.run_id}: another run can start when this run has ended."
            )
        return "This queues a run. The schedule does not change. All fields are optional."

    def act(self) -> None:
        try:
            run = trigger_run(self.policy, TrainingRun.Trigger.ADMIN, self.form.options(), user=self.request.user)
        except lifecycle.AlreadyActiveError as error:
            messages.warning(self.request, f"Nothing was queued: {error}.")
            return
        self.log(f"Queued training run {run.run_id}.")
        messages.success(self.request, f"Run {run.run_id} of {self.policy} is queued.")


class Switch(Action):
    permission_required = (*VIEW, CHANGE_POLICY)
    enabled: bool
    word: str

    def question(self) -> str:
        return f"{self.yes} {self.policy}?"

    def act(self) -> None:
        if not set_enabled(self.policy, self.enabled, self.request.user):
            messages.info(self.request, f"{self.policy} was {self.word} already.")
            return
        self.log(f"{self.word.capitalize()}.")
        messages.success(self.request, f"{self.policy} is {self.word}.")


class Enable(Switch):
    enabled, word, yes = True, "enabled", "Enable"

    def consequence(self) -> str:
        if self.policy.next_run_at <= timezone.now():
            return "The policy's slot has passed: a run starts at once."
        return f"The next run is due at {self.policy.next_run_at:%Y-%m-%d %H:%M:%S} UTC."


class Disable(Switch):
    enabled, word, yes, danger = False, "disabled", "Disable", True

    def consequence(self) -> str:
        return "The schedule starts no more runs of this policy. A queued or running run continues."


class CancelRun(Action):
    permission_required = (*VIEW, "rl_training.change_trainingrun")
    yes, no, danger = "Cancel the run", "Keep it running", True
    run: TrainingRun

    def find(self, name: str = "", run_id: str = "", **parts: Any) -> None:
        runs = TrainingRun.objects.select_related("policy")
        found = runs.filter(run_id=run_id).first()
        if found is None:
            raise Http404("There is no such run.")
        self.run, self.policy = found, found.policy

    def question(self) -> str:
        return f"Cancel run {self.run.run_id} of {self.policy}?"

    def consequence(self) -> str:
        if self.run.status == TrainingRun.Status.QUEUED:
            return "The run has not started: it is cancelled at once."
        if self.run.status == TrainingRun.Status.RUNNING:
            return f"The run {how_it_ends(self.run)}. It makes no version. Its last checkpoint is kept."
        return f"The run has ended already: {self.run.status}."

    def act(self) -> None:
        run = self.run
        if not lifecycle.cancel(run):
            run.refresh_from_db(fields=["status"])
            messages.warning(self.request, f"Nothing to cancel: run {run.run_id} has ended already, {run.status}.")
            return
        self.log(f"Cancelled training run {run.run_id}.")
        messages.success(self.request, f"Run {run.run_id} {how_it_ends(run)}.")
