"""The columns of policies and runs that summaries, lists, charts and reports show."""

from typing import Any

from django.db import models
from django.db.models import Subquery

# The columns of a policy's summary.
POLICY_SUMMARY_COLUMNS = ("name", "enabled", "interval_minutes", "episodes_per_run", "total_runs", "succeeded_runs")
# The columns that `PolicyStoreQuerySet.with_outcome()` and `with_last_run()` add to a policy.
OUTCOME_COLUMNS = ("last_status", "last_finished_at", "last_error", "active_status")

RUN_METRICS = ("avg_reward", "final_reward", "avg_policy_loss", "avg_value_loss")
# The columns of a finished run's summary.
SUMMARY_COLUMNS = ("run_id", "status", "episodes", "finished_at", "duration_seconds", *RUN_METRICS, "error")
# The columns of a run in a list of the API. Double underscores follow a relation.
LISTED_COLUMNS = (
    "pk",
    "run_id",
    "policy__name",
    "status",
    "trigger",
    "triggered_by__username",
    "scheduled_for",
    "queued_at",
    "started_at",
    "finished_at",
    "cancel_requested_at",
    "attempt",
    "initial_version__number",
    "started_from__number",
    "start_note",
    "version__number",
    "episodes",
    "episodes_done",
    "iterations_done",
    "environment_steps",
    "duration_seconds",
    *RUN_METRICS,
    "error",
)
# The columns of a run that commands print, in this order.
REPORT_COLUMNS = (
    "run_id",
    "status",
    "trigger",
    "scheduled_for",
    "queued_at",
    "started_at",
    "finished_at",
    "attempt",
    "episodes",
    "episodes_done",
    "duration_seconds",
    *RUN_METRICS,
    "environment_steps",
    "episode_rewards",
    "error",
)
# The columns of a run that training computes.
RESULT_COLUMNS = (*RUN_METRICS, "environment_steps", "episode_rewards", "curve", "market_summary")
# The columns of a run that the charts of its policy show.
CHART_COLUMNS = ("pk", "status", "finished_at", "duration_seconds", "avg_reward", "episodes_done", "environment_steps")
# Columns that may hold much data for one run. A list of runs does not load them.
LARGE_RUN_COLUMNS = ("config", "market_summary", "computing_environment", "episode_rewards", "curve", "traceback")


def large_run_columns(relation: str) -> list[str]:
    """Return the large columns of a run that a query reaches over `relation`, for the query's `defer()`."""
    return [f"{relation}__{name}" for name in LARGE_RUN_COLUMNS]


class Concatenated(Subquery):
    """Joins the column `text` of a query's rows to one text, in the query's order; null when there is no row.

    Neither database promises that an aggregate over an ordered subquery keeps the order, but both do.
    """

    output_field = models.TextField()
    template = "(SELECT STRING_AGG(text, '') FROM (%(subquery)s) AS texts)"

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, "(SELECT GROUP_CONCAT(text, '') FROM (%(subquery)s) AS texts)")
