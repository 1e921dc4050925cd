"""Celery's entry points: the tasks that train, compare and validate, and the signals of their worker."""

import time
from typing import Any

import structlog
from celery import shared_task
from celery.platforms import set_pdeathsig
from celery.signals import heartbeat_sent, task_revoked, worker_process_init, worker_shutting_down
from django.db import connection

from rl_training.core import fault_points
from rl_training.models import Comparison, TrainingRun, Validation, ValidationStep
from rl_training.presence import heartbeats
from rl_training.runs import lifecycle, task_messages, work_lifecycle
from rl_training.validation import steps
from rl_training.worker import comparing, pool, validating
from rl_training.worker.execution import execute

log = structlog.get_logger(__name__)

heartbeat_sent.connect(pool.kill_silent_processes)
heartbeat_sent.connect(heartbeats.record_worker)
heartbeat_sent.connect(pool.record_preparing)


@shared_task(name=task_messages.TASK, ignore_result=True)
def train_policy(run_id: str) -> None:
    """Execute a queued run; a message for a run with another status does nothing."""
    fault_points.reach("before_claim")
    run = lifecycle.claim(run_id)
    if run is None:
        log.info("Nothing to do, the run is not queued", run_id=run_id)
        return
    fault_points.reach("claimed")
    execute(run, pool.stop_requested)


@shared_task(name=Comparison.TASK, ignore_result=True)
def compare_versions(comparison_id: str) -> None:
    """Execute a queued comparison; a message for a comparison with another status does nothing."""
    comparison = work_lifecycle.claim(Comparison, comparison_id)
    if comparison is None:
        log.info("Nothing to do, the comparison is not queued", comparison_id=comparison_id)
        return
    comparing.execute(comparison, pool.stop_requested)


@shared_task(name=ValidationStep.TASK, ignore_result=True)
def validate(step_id: str) -> None:
    """Execute a queued step of a validation; a message for a step with another status does nothing."""
    step = steps.claim(step_id)
    if step is None:
        log.info("Nothing to do, the step is not queued", step_id=step_id)
        return
    validating.execute(step, pool.stop_requested)


@worker_process_init.connect
def prepare_process(**_: Any) -> None:
    """Prepare a process of the pool for its first run: bind its life to the worker's, and load its compiled code."""
    set_pdeathsig("SIGKILL")
    log.info("Preparing to train: the first time on a machine, this compiles for about a minute")
    began_at = time.monotonic()
    from rl_training.core.run import training  # torch: see execution.train()

    training.warm_up()
    pool.start_heartbeat()
    log.info("Ready to train", seconds=round(time.monotonic() - began_at, 1))


@worker_shutting_down.connect
def stop_runs(**_: Any) -> None:
    """Release the running runs on a graceful stop of the worker."""
    pool.request_stop()


@task_revoked.connect
def cancel_revoked_run(request: Any, **_: Any) -> None:
    """Cancel a run, a comparison or a validation whose task was revoked or terminated in Flower.

    Workers remember a revoked task id for hours and would drop every later message for it.
    """
    try:
        runs = TrainingRun.objects.select_related("policy")
        for run in runs.filter(run_id=request.id):
            lifecycle.cancel(run)
        for comparison in Comparison.objects.filter(comparison_id=request.id):
            work_lifecycle.cancel(comparison)
        for validation in Validation.objects.filter(steps__step_id=request.id):
            steps.cancel(validation)
    finally:
        connection.close()
