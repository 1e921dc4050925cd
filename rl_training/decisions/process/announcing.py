"""Hints that a bar is due, which beat sends to the process `decide`. The process also finds due markets by itself."""

from datetime import datetime

import structlog
from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError as BrokerError

from rl_training.models import Arm, FollowedMarket
from rl_training.presence import heartbeats

log = structlog.get_logger(__name__)

TASK = "rl_training.decisions.process.tasks.decide_market"
# An older hint is useless, because a later tick of beat sends another hint.
EXPIRES_SECONDS = 30


def announce_due(now: datetime) -> int:
    """Send a message for each due market that has an open arm, unless as many messages wait. Return the number sent.

    Raises `redis.RedisError`.
    """
    followed = Arm.objects.filter(ended_at__isnull=True).values("market")
    due = list(FollowedMarket.objects.due(now).filter(pk__in=followed).order_by("due_at").values_list("pk", flat=True))
    if not due or heartbeats.client().llen(settings.DECISIONS_QUEUE) >= len(due):
        return 0
    try:
        for pk in due:
            current_app.send_task(
                TASK, kwargs={"market_id": pk}, queue=settings.DECISIONS_QUEUE, expires=EXPIRES_SECONDS
            )
    except (BrokerError, OSError) as error:
        log.warning("Due bars are not announced", error=str(error))
    return len(due)
