"""Entries that the tests add to the streams of a site's Redis."""

import json
import uuid
from typing import Any

from tests.browser.site import Site

STARTED, PROGRESS, COMPLETED = (f"rl_v3.training.{kind}" for kind in ("started", "progress", "completed"))
RUN_ID = "0123456789ab"


def publish(site: Site, stream: str, **payload: Any) -> str:
    """Add an entry and return its id."""
    fields: dict[Any, Any] = {"event_id": str(uuid.uuid4()), "trace_id": RUN_ID, "payload": json.dumps(payload)}
    return str(site.redis.client.xadd(stream, fields))


def publish_many(site: Site, number: int, stream: str = PROGRESS, padding: str = "") -> list[str]:
    pipe = site.redis.client.pipeline(transaction=False)
    for episode in range(number):
        fields: dict[Any, Any] = {
            "run_id": RUN_ID,
            "payload": json.dumps({"episode": episode, "padding": padding}),
        }
        pipe.xadd(stream, fields)
    return pipe.execute()


def number(entry: str) -> tuple[int, ...]:
    """Return the two numbers of an entry's id."""
    return tuple(map(int, entry.split("-")))
