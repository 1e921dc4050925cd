"""The slot ledger in the admin, read-only."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rl_training.admin.display import EMPTY, admin_link, number_column, run_link, time_column
from rl_training.admin.records import PolicyFilter, ReadOnlyAdmin
from rl_training.models import SlotRange
from rl_training.models.columns import large_run_columns


@admin.register(SlotRange)
class SlotRangeAdmin(ReadOnlyAdmin):
    list_display = ("first", "policy", "last", "slots", "interval", "outcome", "reason", "detail", "about", "late")
    list_filter = ("outcome", "reason", PolicyFilter)
    search_fields = ("run__run_id",)
    search_help_text = "Run id."
    date_hierarchy = "first_slot"
    fields = (
        "first",
        "last",
        "next",
        "policy_name",
        "slots",
        "interval",
        "outcome",
        "reason",
        "detail",
        "about",
        "late",
    )

    first = time_column("first_slot")
    last = time_column("last_slot")
    next = time_column("next_slot")
    late = number_column("lateness_seconds", "seconds late")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SlotRange]:
        ranges: QuerySet[SlotRange] = super().get_queryset(request)
        return ranges.select_related("policy", "run").defer(*large_run_columns("run"))

    @admin.display(description="policy")
    def policy_name(self, row: SlotRange) -> SafeString:
        return admin_link("policystore", row.policy_id, row.policy.name)

    @admin.display(description="interval", ordering="interval_minutes")
    def interval(self, row: SlotRange) -> str:
        return f"{row.interval_minutes:,} min"

    @admin.display(description="run")
    def about(self, row: SlotRange) -> str | SafeString:
        return run_link(row.run) if row.run else EMPTY
