"""The action of the admin's list of policies that queues a run of each selected policy."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html

from rl_training.admin.display import admin_link, flower_link
from rl_training.models import InvalidConfigError, PolicyStore, TrainingRun
from rl_training.runs import lifecycle
from rl_training.runs.trigger_form import RunOptionsForm
from rl_training.runs.triggering import RunOptions, trigger_run


class TrainNowAction:
    """A mixin for a ModelAdmin of policies: its action shows a form of the runs' options, then queues the runs."""

    admin_site: admin.AdminSite
    model: type[PolicyStore]
    message_user: Callable[..., None]
    log_change: Callable[..., Any]

    def has_train_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("rl_training.add_trainingrun")

    @admin.action(permissions=["train"], description="Train now")
    def train_now(self, request: HttpRequest, queryset: QuerySet[PolicyStore]) -> TemplateResponse | None:
        confirmed = "confirmed" in request.POST
        form = RunOptionsForm(queryset, request.POST if confirmed else None)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "title": "Train now",
                "opts": self.model._meta,
                "form": form,
                "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            }
            return TemplateResponse(request, "rl_training/train_now.html", context)
        for policy in form.policies:
            self._train(request, policy, form.options())
        return None

    def _train(self, request: HttpRequest, policy: PolicyStore, options: RunOptions) -> None:
        try:
            run = trigger_run(policy, TrainingRun.Trigger.ADMIN, options, user=request.user)
        except lifecycle.AlreadyActiveError as error:
            self.message_user(request, f"Not queued: {error}.", messages.WARNING)
        except InvalidConfigError as error:
            what = f"Policy {policy}: its settings are invalid; open the policy and save corrected settings. {error}"
            self.message_user(request, what, messages.ERROR)
        else:
            self.log_change(request, policy, f"Queued training run {run.run_id}.")
            link = admin_link("trainingrun", run.pk, f"run {run.run_id}")
            self.message_user(request, format_html("Policy {}: {} is queued, {}.", policy, link, flower_link(run)))
