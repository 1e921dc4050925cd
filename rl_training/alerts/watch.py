"""Where and when rules are evaluated: in the process that serves the queue `alerts`, every ten seconds, in a thread.

That process (`celery_app worker -Q alerts`) neither schedules nor trains: it can tell that beat or all workers are
silent, and the hours of a training run hold up no message. Any number of such processes may run. The one that takes a
round does it, the others find it taken; and should two overlap, the database refuses a second open alert of a rule. The
rows are the truth here as well: a process that starts finds out anew what holds, and sends what is not sent.

Whether this process itself lives is watched from outside: by `make up` and compose, which start it again, by `/readyz`,
which shows its last sign of life, and by Prometheus, from `/metrics`.
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


class Watch(threading.Thread):
    """Evaluates the rules and has messages sent until the process ends."""

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
        """A round, and what is left to send of this and earlier ones."""
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
    """Before the worker connects to its broker: a Redis that is away is a thing to tell people of."""
    if settings.ALERTS_QUEUE in instance.app.amqp.queues.consume_from:
        watch = Watch()
        worker_shutting_down.connect(lambda **_: watch.stop(), weak=False)
        watch.start()
