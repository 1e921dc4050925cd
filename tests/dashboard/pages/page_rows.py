"""Rows that the tests of the pages store."""

from typing import Any

from rl_training.models import PolicyStore, PolicyVersion, TrainingRun


def active_run(policy: PolicyStore, status: str = "running", **columns: Any) -> TrainingRun:
    columns = {"trigger": "schedule", "episodes": 8, "attempt": 1, "config": {}} | columns
    return TrainingRun.objects.create(policy=policy, status=status, **columns)


def version_of(run: TrainingRun, number: int = 1, evaluation: Any = None) -> PolicyVersion:
    return PolicyVersion.objects.create(
        policy=run.policy,
        number=number,
        run=run,
        artifact="a",
        sha256="b" * 64,
        evaluation={} if evaluation is None else evaluation,
    )
