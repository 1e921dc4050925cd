"""Policy versions in the admin, read-only."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from rl_training.admin.display import (
    EMPTY,
    admin_link,
    number_column,
    percent_column,
    pretty_json,
    run_link,
    time_column,
)
from rl_training.admin.records import PolicyFilter, ReadOnlyAdmin
from rl_training.files.evaluations import complete
from rl_training.models import PolicyVersion
from rl_training.models.columns import large_run_columns
from rl_training.versions.live_periods import LivePeriod, periods_of


@admin.register(PolicyVersion)
class PolicyVersionAdmin(ReadOnlyAdmin):
    list_display = (
        "version",
        "policy",
        "created",
        "made_by",
        "held_out_bars",
        "held_out",
        "hold",
        "shown_sharpe",
        "drawdown",
        "turned_over",
        "in_market",
        "was_live",
    )
    list_filter = (PolicyFilter,)
    search_fields = ("sha256", "run__run_id")
    search_help_text = "Digest of the weights or run id."
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fields = (
        "version",
        "policy_name",
        "created",
        "made_by",
        "continued_from",
        "artifact",
        "weights_removed",
        "sha256",
        "was_live",
        "held_back",
        "shown_evaluation",
    )

    created = time_column("created_at")
    weights_removed = time_column("weights_removed_at")
    drawdown = percent_column("max_drawdown")
    turned_over = number_column("turnover")
    in_market = percent_column("time_in_market")
    held_out = percent_column("held_out_return")
    hold = percent_column("buy_and_hold_return", "buy and hold")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PolicyVersion]:
        versions: QuerySet[PolicyVersion] = super().get_queryset(request)
        return (
            versions.select_related("policy", "run", "parent")
            .defer("evaluation", "parent__evaluation", *large_run_columns("run"))
            .prefetch_related("deployments__following")
        )

    @admin.display(ordering="number")
    def version(self, version: PolicyVersion) -> str:
        return f"version {version.number}"

    @admin.display(description="Sharpe ratio, 95 % interval", ordering="sharpe")
    def shown_sharpe(self, version: PolicyVersion) -> str:
        if version.sharpe is None:
            return EMPTY
        interval = (version.sharpe_low, version.sharpe_high)
        return f"{version.sharpe:.4g}" + ("" if None in interval else " ({:.4g} to {:.4g})".format(*interval))

    @admin.display(description="live (UTC)")
    def was_live(self, version: PolicyVersion) -> str:
        deployments = sorted(version.deployments.all(), key=lambda deployment: deployment.at)
        periods = periods_of((one.at, one.following.at if hasattr(one, "following") else None) for one in deployments)
        return "; ".join(f"{period.since:%Y-%m-%d %H:%M} to {_until(period)}" for period in periods) or EMPTY

    @admin.display(description="policy")
    def policy_name(self, version: PolicyVersion) -> SafeString:
        return admin_link("policystore", version.policy_id, version.policy.name)

    @admin.display(description="made by run")
    def made_by(self, version: PolicyVersion) -> SafeString:
        return run_link(version.run)

    @admin.display(description="continued from")
    def continued_from(self, version: PolicyVersion) -> str | SafeString:
        parent = version.parent
        return admin_link("policyversion", parent.pk, f"version {parent.number}") if parent else "none: from scratch"

    @admin.display(description="evaluation")
    def shown_evaluation(self, version: PolicyVersion) -> str | SafeString:
        return pretty_json(complete(version))


def _until(period: LivePeriod) -> str:
    return f"{period.until:%Y-%m-%d %H:%M}" if period.until else "now"
