"""Queued and running runs and comparisons for tests."""

from rl_training.models import Comparison, PolicyStore, TrainingRun
from rl_training.runs import lifecycle, work_lifecycle


def queued_run(policy: PolicyStore) -> TrainingRun:
    """Return a queued run of the policy; no worker is notified."""
    return lifecycle.enqueue(policy, TrainingRun.Trigger.COMMAND, send_message=False)


def claim(run: TrainingRun) -> TrainingRun:
    """Claim a queued run, as a worker does, and return it as that worker reads it."""
    claimed = lifecycle.claim(run.run_id)
    assert claimed is not None
    return claimed


def claimed_run(policy: PolicyStore) -> TrainingRun:
    """Return a running run of the policy, as its worker reads it."""
    return claim(queued_run(policy))


def claim_comparison(comparison: Comparison) -> Comparison:
    """Claim a queued comparison as a worker does."""
    claimed = work_lifecycle.claim(Comparison, comparison.comparison_id)
    assert claimed is not None
    return claimed
