"""Runs and events in the admin, read-only."""

from typing import Any, cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from quantum_trader.web.checked_list import CheckedList
from rl_training.admin.display import (
    EMPTY,
    admin_link,
    flower_link,
    number_column,
    outcome,
    preformatted,
    pretty_json,
    run_link,
    time_column,
)
from rl_training.models import PolicyStore, TrainingEvent, TrainingRun, TrainingRunQuerySet
from rl_training.models.columns import LARGE_RUN_COLUMNS, RUN_METRICS, large_run_columns
from rl_training.runs import lifecycle
from rl_training.runs.cancelling import how_it_ends
from rl_training.runs.reports import describe_start
from rl_training.streams.names import EVENT_KINDS, streams


class PolicyFilter(admin.SimpleListFilter):
    """Filters rows by the name of their policy."""

    title = "policy"
    parameter_name = "policy"
    column = "policy"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in PolicyStore.objects.values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        known = dict(self.lookup_choices)
        return queryset.filter(**{f"{self.column}__name": self.value()}) if self.value() in known else queryset


class PolicyOfEventFilter(PolicyFilter):
    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # The type of an event begins with the policy's name, and the index on it serves both runs and deployments.
        if self.value() not in dict(self.lookup_choices):
            return queryset
        return queryset.filter(event_type__in=streams([str(self.value())], EVENT_KINDS))


class ReadOnlyAdmin(CheckedList, admin.ModelAdmin):  # type: ignore[type-arg]
    """Shows rows that only the system itself writes."""

    # Counting the rows of a large table takes longer than reading a page of them.
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(TrainingRun)
class TrainingRunAdmin(ReadOnlyAdmin):
    list_display = (
        "run_id",
        "policy",
        "shown_status",
        "queued",
        "origin",
        "progress",
        "duration",
        "reward",
        "made",
        "flower",
    )
    list_filter = ("status", "trigger", PolicyFilter)
    search_fields = ("run_id", "error")
    search_help_text = "Run id or a part of the error."
    date_hierarchy = "queued_at"
    actions = ("cancel",)
    fieldsets = (
        (None, {"fields": ("run_id", "policy_name", "shown_status", "origin", "flower")}),
        ("Why it failed", {"fields": ("shown_error", "shown_traceback")}),
        ("Times", {"fields": ("slot", "queued", "sent", "started", "heartbeat", "finished")}),
        ("Attempt", {"fields": ("attempt", "progress", "iterations_done", "duration", "environment_steps")}),
        ("Outcome", {"fields": ("shown_start", "made", "announced")}),
        ("Rewards and losses", {"fields": RUN_METRICS}),
        ("Details", {"fields": ("shown_episode_rewards", "shown_market", "shown_computing", "shown_config")}),
    )

    slot = time_column("scheduled_for", "slot")
    queued = time_column("queued_at")
    sent = time_column("sent_at", "worker notified at")
    started = time_column("started_at")
    heartbeat = time_column("heartbeat_at")
    finished = time_column("finished_at")
    reward = number_column("avg_reward", "average reward")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingRun]:
        runs = cast(TrainingRunQuerySet, super().get_queryset(request))
        large = (*LARGE_RUN_COLUMNS, "version__evaluation")
        return runs.select_related("policy", "version").with_origin().defer(*large)

    def get_fieldsets(self, request: HttpRequest, obj: TrainingRun | None = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj and obj.error else [group for group in shown if group[0] != "Why it failed"]

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("rl_training.change_trainingrun")

    @admin.action(permissions=["cancel"], description="Cancel")
    def cancel(self, request: HttpRequest, queryset: QuerySet[TrainingRun]) -> None:
        for run in queryset:
            if not lifecycle.cancel(run):
                self.message_user(
                    request, f"Not cancelled: run {run} has ended already: {run.status}.", messages.WARNING
                )
                continue
            self.log_change(request, run, "Cancelled.")
            self.message_user(request, f"Run {run} {how_it_ends(run)}.")

    @admin.display(description="policy")
    def policy_name(self, run: TrainingRun) -> SafeString:
        return admin_link("policystore", run.policy_id, run.policy.name)

    @admin.display(description="episodes")
    def progress(self, run: TrainingRun) -> str:
        return f"{run.episodes_done:,} of {run.episodes:,}"

    @admin.display(description="seconds", ordering="duration_seconds")
    def duration(self, run: TrainingRun) -> str:
        return EMPTY if run.duration_seconds is None else f"{run.duration_seconds:,.1f}"

    @admin.display(description="status", ordering="status")
    def shown_status(self, run: TrainingRun) -> SafeString:
        return outcome(run.status, run.status, run.error)

    @admin.display(description="trigger", ordering="trigger")
    def origin(self, run: Any) -> str:
        return f"{run.trigger}, by {run.triggered_by_name}" if run.triggered_by_name else run.trigger

    @admin.display(description="task")
    def flower(self, run: TrainingRun) -> SafeString:
        return flower_link(run)

    @admin.display(description="made")
    def made(self, run: TrainingRun) -> str | SafeString:
        version = getattr(run, "version", None)
        return admin_link("policyversion", version.pk, f"version {version.number}") if version else EMPTY

    @admin.display(description="start")
    def shown_start(self, run: TrainingRun) -> str | SafeString:
        version = run.initial_version if run.start_note is None else run.started_from
        return admin_link("policyversion", version.pk, describe_start(run)) if version else describe_start(run)

    @admin.display(description="events")
    def announced(self, run: TrainingRun) -> str | SafeString:
        links = [(admin_link("trainingevent", event.pk, event.event_type),) for event in run.events.order_by("id")]
        return format_html_join(", ", "{}", links) or EMPTY

    @admin.display(description="error")
    def shown_error(self, run: TrainingRun) -> str | SafeString:
        return preformatted(run.error)

    @admin.display(description="traceback")
    def shown_traceback(self, run: TrainingRun) -> str | SafeString:
        return preformatted(run.traceback)

    @admin.display(description="episode rewards")
    def shown_episode_rewards(self, run: TrainingRun) -> str | SafeString:
        return pretty_json(run.episode_rewards)

    @admin.display(description="market")
    def shown_market(self, run: TrainingRun) -> str | SafeString:
        return pretty_json(run.market_summary)

    @admin.display(description="computing environment")
    def shown_computing(self, run: TrainingRun) -> str | SafeString:
        return pretty_json(run.computing_environment)

    @admin.display(description="settings")
    def shown_config(self, run: TrainingRun) -> str | SafeString:
        return pretty_json(run.config)


@admin.register(TrainingEvent)
class TrainingEventAdmin(ReadOnlyAdmin):
    list_display = ("event_type", "event_id", "about", "written", "published")
    list_filter = (PolicyOfEventFilter, ("published_at", admin.EmptyFieldListFilter))
    search_fields = ("event_id", "run__run_id")
    search_help_text = "Event id or run id."
    date_hierarchy = "timestamp"
    fields = ("event_type", "event_id", "about", "written", "published", "shown_payload")

    written = time_column("timestamp", "written at")
    published = time_column("published_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[TrainingEvent]:
        events: QuerySet[TrainingEvent] = super().get_queryset(request)
        return events.select_related("run").defer(*large_run_columns("run"))

    @admin.display(description="about")
    def about(self, event: TrainingEvent) -> SafeString:
        if event.run is not None:
            return run_link(event.run)
        if event.decision_id is not None:
            return format_html("decision {}", event.decision_id)
        if event.arm_comparison_id is not None:
            return admin_link("armcomparison", event.arm_comparison_id, "comparison")
        if event.validation_id is not None:
            return format_html("validation {}", event.validation_id)
        return admin_link("deployment", cast(int, event.deployment_id), f"deployment {event.deployment_id}")

    @admin.display(description="payload")
    def shown_payload(self, event: TrainingEvent) -> str | SafeString:
        return pretty_json(event.payload)
