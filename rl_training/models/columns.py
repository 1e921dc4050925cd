"""The columns of policies and runs that summaries, lists, charts and reports show."""

from typing import Any

from django.db import models
from django.db.models import Subquery

# A summary of a policy.
POLICY_SUMMARY_COLUMNS = ("name", "enabled", "interval_minutes", "episodes_per_run", "total_runs", "succeeded_runs")
# What `PolicyStoreQuerySet.with_outcome()` and `with_last_run()` add to a policy.
OUTCOME_COLUMNS = ("last_status", "last_finished_at", "last_error", "active_status")

RUN_METRICS = ("avg_reward", "final_reward", "avg_policy_loss", "avg_value_loss")
# A summary of a finished run.
SUMMARY_COLUMNS = ("run_id", "status", "episodes", "finished_at", "duration_seconds", *RUN_METRICS, "error")
# A run in a list of the API. Double underscores follow a relation.
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
# A run as the commands print it, in this order.
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
# What training itself finds out about a run.
RESULT_COLUMNS = (*RUN_METRICS, "environment_steps", "episode_rewards", "curve", "market_summary")
# A run in the charts of its policy.
CHART_COLUMNS = ("pk", "status", "finished_at", "duration_seconds", "avg_reward", "episodes_done", "environment_steps")
# These may hold much data for one run: a list of runs leaves them in the database.
LARGE_RUN_COLUMNS = ("config", "market_summary", "computing_environment", "episode_rewards", "curve", "traceback")


def large_run_columns(relation: str) -> list[str]:
    """Return the large columns of a run that a query reaches over `relation`, for the query's `defer()`."""
    return [f"{relation}__{name}" for name in LARGE_RUN_COLUMNS]


class Concatenated(Subquery):
    """The column `text` of the rows of a query as one text, in the query's order; null when there is no row.

    Neither database promises that an aggregate over an ordered subquery keeps the order, but both do.
    """

    output_field = models.TextField()
    template = "(SELECT STRING_AGG(text, '') FROM (%(subquery)s) AS texts)"

    def as_sqlite(self, compiler: Any, connection: Any) -> Any:
        return self.as_sql(compiler, connection, "(SELECT GROUP_CONCAT(text, '') FROM (%(subquery)s) AS texts)")
