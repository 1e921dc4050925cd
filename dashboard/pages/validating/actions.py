"""Questions about walk-forwards: whether to start one, and whether to cancel it."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404
from django.urls import reverse

from dashboard.access import VIEW
from dashboard.pages.actions import Action, FormAction
from dashboard.pages.validating.pages import page_of
from dashboard.pages.validating.shown import find
from dashboard.templatetags.figures import seconds
from rl_training.core.run.walk_forward.folds import FOLDS
from rl_training.models import InvalidConfigError, Validation
from rl_training.validation import reports, requesting, steps, trials
from rl_training.validation.requesting import AlreadyValidatingError, Options, OptionsError

ADD, CHANGE = "rl_training.add_validation", "rl_training.change_validation"
MONITORS = (
    "The recipe is validated by validation {}. Another walk-forward of it is no trial and spends nothing: it has the "
    "same folds and can only end that validation. A window makes another recipe, whose walk-forward is a trial."
)
TRIAL = (
    "This is trial {number} on {market}; trials count for the market, whichever policies they belong to. The trial may "
    "spend {level:.2g} of the {remaining:.2g} that is left of {alpha:g}: only p-values below {level:.2g} validate the "
    "recipe. It counts whatever its outcome, even if it is cancelled, and leaves less for every later trial."
)


class WalkForwardForm(forms.Form):
    """The options of a walk-forward."""

    folds = forms.IntegerField(
        min_value=1,
        max_value=requesting.MOST_FOLDS,
        initial=FOLDS,
        help_text=f"Retrainings, which trade the second half of the bars. 1 to {requesting.MOST_FOLDS}.",
    )
    window = forms.IntegerField(
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text="Bars that each fold trains on. Empty: all bars before it, as in the policy's runs. A window makes "
        "another recipe, which no run follows: its verdict promotes nothing.",
    )

    def options(self) -> Options:
        return Options(folds=self.cleaned_data["folds"], window=self.cleaned_data["window"])


class WalkForward(FormAction[WalkForwardForm]):
    permission_required = (*VIEW, "rl_training.view_validation", ADD)
    yes, no = "Walk it forward", "Not now"

    def question(self) -> str:
        return f"Walk the recipe of {self.policy} forward?"

    def consequence(self) -> str:
        try:
            recipe = requesting.recipe_of(self.policy)
        except InvalidConfigError as error:
            return f"The stored settings of {self.policy} are invalid. {error}"
        active = Validation.objects.active().of_recipe(recipe.digest).first()
        if active is not None:
            return f"The recipe is being walked forward already: validation {active}."
        return f"{self._what_it_spends(recipe)} {self._how_long()}"

    def _what_it_spends(self, recipe: requesting.Recipe) -> str:
        monitored = requesting.monitored_by(recipe)
        if monitored is not None:
            return MONITORS.format(monitored)
        market, alpha = recipe.config.market, settings.PROMOTION_ALPHA
        budget = reports.budget(trials.ledger_key(market), alpha)
        return TRIAL.format(
            number=budget["trials"] + 1,
            market=market.label,
            level=budget["next_level"],
            remaining=budget["remaining"],
            alpha=alpha,
        )

    def _how_long(self) -> str:
        found = reports.estimated_seconds(self.policy)
        if found is None:
            return "The duration is known after the policy's first successful run."
        return f"One training process needs about {seconds(found)} for {FOLDS} folds; several workers share the folds."

    def make_form(self, data: Any = None) -> WalkForwardForm:
        return WalkForwardForm(data)

    def act(self) -> None:
        try:
            validation = requesting.request(self.policy, self.form.options(), user=self.request.user)
        except (AlreadyValidatingError, OptionsError) as error:
            messages.warning(self.request, f"Nothing was queued: {error}")
            return
        what = f"It is {validation.trial}." if validation.trial else f"It monitors validation {validation.monitored}."
        self.log(f"Queued validation {validation}.")
        messages.success(self.request, f"Validation {validation} of {self.policy} is queued. {what}")

    def home(self) -> str:
        return reverse("dashboard:policy-validation", args=[self.policy.name])


class CancelValidation(Action):
    permission_required = (*VIEW, "rl_training.view_validation", CHANGE)
    yes, no, danger = "Cancel the validation", "Let it finish", True
    validation: Validation

    def find(self, name: str = "", validation_id: str = "", **parts: Any) -> None:
        found = find(validation_id)
        if found is None:
            raise Http404("There is no such validation.")
        self.validation, self.policy = found, found.policy

    def question(self) -> str:
        return f"Cancel validation {self.validation} of {self.policy}?"

    def consequence(self) -> str:
        if self.validation.status not in Validation.ACTIVE:
            return f"The validation has ended already: {self.validation.status}."
        if self.validation.trial is None:
            return "The walk-forward gets no result. The validation that it monitors stays in force."
        return f"The validation gets no result but counts: {self.validation.trial} has spent its level."

    def act(self) -> None:
        if not steps.cancel(self.validation):
            messages.warning(self.request, f"Nothing to cancel: validation {self.validation} has ended already.")
            return
        self.log(f"Cancelled validation {self.validation}.")
        messages.success(self.request, f"Validation {self.validation} is cancelled.")

    def home(self) -> str:
        return page_of(self.validation)
