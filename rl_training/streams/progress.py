"""The progress stream of a policy: capped, best effort, without rows in the database."""

import json
from datetime import timedelta
from typing import Any

import redis
import structlog

from quantum_trader.redis_clients import redis_client
from rl_training.models import TrainingRun
from rl_training.streams import names

log = structlog.get_logger(__name__)

# Enough for a page to show the last minutes; progress is not a record.
MAX_ENTRIES = 1000
KEPT_FOR = timedelta(days=1)


def publish(run: TrainingRun, entry: dict[str, Any]) -> bool:
    """Add an entry to `<policy>.training.progress`; return False when Redis did not take it.

    The whole stream expires KEPT_FOR after its last entry.
    """
    stream = names.stream(run.policy.name, names.PROGRESS)
    pipe = redis_client().pipeline(transaction=False)
    pipe.xadd(stream, {"run_id": run.run_id, "payload": json.dumps(entry)}, maxlen=MAX_ENTRIES)
    pipe.expire(stream, KEPT_FOR)
    try:
        pipe.execute()
    except redis.RedisError as error:
        log.debug("Progress was not announced", run_id=run.run_id, error=str(error))
        return False
    return True
