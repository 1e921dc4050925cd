"""The thread that evaluates the rules every ten seconds, in the process that serves the queue `alerts`.

That process (`celery_app worker -Q alerts`) neither schedules nor trains, so it notices when beat or all workers are
silent, and a training run never delays its messages. Any number of such processes may run: one process claims a round,
the others skip it, and the database refuses a second open alert of a rule if two rounds overlap. All state is in the
database: a process that starts evaluates every rule again and sends every message that is not sent yet.

Other programs watch this process itself: `make up` and compose restart it, `/readyz` shows its last heartbeat, and
Prometheus reads that heartbeat from `/metrics`.
"""

import threading
import time
from typing import Any

import structlog
from celery.signals import celeryd_after_setup, worker_shutting_down
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import timezone

from rl_training.alerts import delivery
from rl_training.alerts.evaluator import EVERY_SECONDS, Evaluator
from rl_training.presence import heartbeats

log = structlog.get_logger(__name__)


class EvaluationLoop(threading.Thread):
    """Evaluates the rules and enqueues the due messages until the process ends."""

    def __init__(self) -> None:
        super().__init__(name="alerts", daemon=True)
        self._evaluator = Evaluator()
        self._stopped = threading.Event()

    def run(self) -> None:
        while not self._stopped.is_set():
            started = time.monotonic()
            self.once()
            heartbeats.record("alerts")
            self._stopped.wait(max(0.0, EVERY_SECONDS - (time.monotonic() - started)))

    def once(self) -> None:
        """Evaluate the rules once and enqueue all due messages. A database error is logged and ends the pass."""
        try:
            self._evaluator.round()
            delivery.send_due(timezone.now())
        except DatabaseError as error:
            log.error("Alerts wait for the database", error=str(error))
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopped.set()


@celeryd_after_setup.connect
def start(instance: Any, **_: Any) -> None:
    """Start the loop before the worker connects to its broker, so that alerts are also sent while Redis is down."""
    if settings.ALERTS_QUEUE in instance.app.amqp.queues.consume_from:
        loop = EvaluationLoop()
        worker_shutting_down.connect(lambda **_: loop.stop(), weak=False)
        loop.start()
