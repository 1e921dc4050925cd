"""The Celery task of the queue `decisions`, and the start of the loop in the process that serves this queue.

All workers import this module, so only the process `decide` imports the code that decides, with numba and scipy.
"""

from typing import Any

from celery import shared_task
from celery.signals import celeryd_after_setup, worker_shutting_down
from django.conf import settings

from rl_training.decisions.process import announcing


@shared_task(name=announcing.TASK, ignore_result=True)
def decide_market(market_id: int) -> None:
    """Read the market's source and decide on its new bars, unless another thread is doing so."""
    from rl_training.decisions.process.loop import LOOP

    LOOP.advance(market_id)


@celeryd_after_setup.connect
def start(instance: Any, **_: Any) -> None:
    """Start the loop before the worker connects to its broker: it decides while Redis is down too."""
    if settings.DECISIONS_QUEUE in instance.app.amqp.queues.consume_from:
        from rl_training.decisions.process.loop import LOOP

        worker_shutting_down.connect(lambda **_: LOOP.stop(), weak=False)
        LOOP.start()
