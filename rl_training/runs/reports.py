"""Runs and policies as the commands print them."""

from datetime import datetime
from typing import Any

from quantum_trader.timestamps import utc_text
from rl_training.models import PolicyStore, TrainingRun
from rl_training.models.columns import REPORT_COLUMNS


def describe_run(run: TrainingRun) -> dict[str, Any]:
    """Return the run as a JSON object, with the version that it made."""
    columns = {name: getattr(run, name) for name in REPORT_COLUMNS}
    version = getattr(run, "version", None)
    return {
        "policy": run.policy.name,
        **{name: utc_text(value) if isinstance(value, datetime) else value for name, value in columns.items()},
        "started_from": run.started_from.number if run.started_from else None,
        "start": describe_start(run),
        "seed": run.config.get("seed"),
        "market": run.market_summary,
        "version": version.number if version else None,
        "sha256": version.sha256 if version else None,
    }


def describe_start(run: TrainingRun) -> str:
    """Return what training started from or will start from, with a note if that is not the initial version."""
    version = run.started_from
    if run.start_note is None:
        verb, version = ("Was to start" if run.finished_at else "Will start"), run.initial_version
    else:
        verb = "Started"
    start = f"{verb} from version {version.number}" if version else f"{verb} from scratch"
    return f"{start}: {run.start_note}" if run.start_note else start


def describe_policy(policy: PolicyStore, active: TrainingRun | None) -> dict[str, Any]:
    """Return the policy's schedule, active run and newest results as a JSON object.

    The policy comes from `with_outcome()`; `active` is its queued or running run.
    """
    return {
        "policy": policy.name,
        "enabled": policy.enabled,
        "interval_minutes": policy.interval_minutes,
        "episodes_per_run": policy.episodes_per_run,
        "next_run_at": utc_text(policy.next_run_at) if policy.enabled else None,
        "active": active.status if active else None,
        "active_run": active.run_id if active else None,
        "active_start": describe_start(active) if active else None,
        "total_runs": policy.total_runs,
        "succeeded_runs": policy.succeeded_runs,
        "last_status": policy.last_status,  # type: ignore[attr-defined]
        "last_finished_at": utc_text(policy.last_finished_at) if policy.last_finished_at else None,  # type: ignore[attr-defined]
        "last_error": policy.last_error or policy.schedule_error or None,  # type: ignore[attr-defined]
    }
