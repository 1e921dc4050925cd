"""Beat's housekeeping of rows, once a minute, and of storage readings, once an hour. One of several beats does it."""

from datetime import datetime

import structlog
from celery import current_app
from django.conf import settings
from django.db import IntegrityError
from kombu.exceptions import OperationalError as BrokerError

from rl_training.storage import old_records, run_retention
from rl_training.streams import retention

log = structlog.get_logger(__name__)

LOCK, READ = "quantum_trader:stored_rows", "quantum_trader:storage_read"
EVERY_SECONDS, READ_EVERY_SECONDS = 60, 3600
# The process `alerts` reads the storage, because checking each file would delay beat.
READ_STORAGE = "rl_training.alerts.tasks.read_storage"


def maintain(now: datetime) -> None:
    """Remove rows and details that the rules of retention no longer keep. The work of each call is bounded.

    Raises `redis.RedisError` when Redis cannot be reached.
    """
    if not retention.acquire(LOCK, EVERY_SECONDS):
        return
    if retention.acquire(READ, READ_EVERY_SECONDS):
        _request_reading()
    old_records.remove(now)
    try:
        run_retention.remove_old()
    except IntegrityError as error:
        # A row that refers to one of the runs was stored meanwhile. The next call sees it.
        log.warning("Old runs were not removed", error=str(error))


def _request_reading() -> None:
    try:
        current_app.send_task(READ_STORAGE, queue=settings.ALERTS_QUEUE, expires=READ_EVERY_SECONDS)
    except (BrokerError, OSError) as error:
        log.warning("The used storage is not read this hour", error=str(error))
