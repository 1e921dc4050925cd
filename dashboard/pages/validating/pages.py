"""The page of a walk-forward, and the list of all walk-forwards."""

from typing import Any

from django.core.paginator import Paginator
from django.http import Http404
from django.urls import reverse

from dashboard.access import Page
from dashboard.pages.active_runs import current_stream_id
from dashboard.pages.run_configs import config_changes, config_groups
from dashboard.pages.validating.shown import find, progress_of, results_of
from rl_training.models import InvalidConfigError, PolicyStore, Validation
from rl_training.validation import reports

PER_PAGE = 50


def page_of(validation: Validation) -> str:
    """Return the URL of a validation."""
    return reverse("dashboard:validation", args=[validation.validation_id])


class ValidationListPage(Page):
    """All walk-forwards, newest first."""

    permission_required = "rl_training.view_validation"
    template_name = "dashboard/validating/list.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = Validation.objects.listed().select_related("requested_by", "monitored")
        page = Paginator(found, PER_PAGE).get_page(self.request.GET.get("page"))
        return super().get_context_data(page=page, validations=list(page), with_policy=True, **kwargs)


class ValidationPage(Page):
    """A walk-forward: the answer, the folds, the curves, the tests, and the recipe."""

    permission_required = "rl_training.view_validation"
    template_name = "dashboard/validating/validation.html"

    def get_context_data(self, validation_id: str = "", **kwargs: Any) -> dict[str, Any]:
        # The stream id is read first, so that the page receives every later event.
        after = current_stream_id()
        validation = find(validation_id)
        if validation is None:
            raise Http404(f"There is no validation {validation_id}.")
        return super().get_context_data(
            after=after,
            policy=validation.policy,
            answer=reports.answer(validation),
            **results_of(validation) | progress_of(validation) | _recipe(validation),
            **kwargs,
        )


def _recipe(validation: Validation) -> dict[str, Any]:
    """Return the settings that were walked forward, and how they differ from the policy's present settings."""
    return {
        "config": config_groups(validation.config),
        "changes": _changes(validation, validation.policy),
        "monitoring": list(validation.monitoring.listed()) if validation.trial else [],
    }


def _changes(validation: Validation, policy: PolicyStore) -> list[dict[str, Any]]:
    try:
        present = policy.training_config().model_dump(mode="json")
    except InvalidConfigError:
        return []
    own = {"start_from": policy.start_from, "window": None}
    stored = {"start_from": validation.start_from, "window": validation.window}
    config = validation.config if isinstance(validation.config, dict) else {}
    return config_changes(config | stored, present | own)
