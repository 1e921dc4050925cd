"""Follows the decisions of a policy: python follow_decisions.py POLICY [GROUP]

A consumer of a Redis group: each decision is handled by one of the group's consumers, and again after a consumer that
ended without acknowledging it. So `handle` may get a decision twice; `decision_id` identifies it. Needs redis-py alone.
"""

import json
import os
import socket
import sys
from datetime import UTC, datetime

import redis

CLAIM_AFTER_MILLISECONDS = 60_000


def handle(decision: dict, now: datetime) -> None:
    """Replace this by what your program does with a decision."""
    if datetime.fromisoformat(decision["valid_until"]) < now:
        print(f"too late: {decision['decision_id']} was valid until {decision['valid_until']}", flush=True)
        return
    print(f"{decision['bar_closed_at']} {decision['policy']} target {decision['target_position']:+g}", flush=True)


def follow(client: redis.Redis, stream: str, group: str, consumer: str):
    """Yield the ids and the decisions of the stream's entries, those left by dead consumers first."""
    try:
        client.xgroup_create(stream, group, id="$", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
    while True:
        client.xautoclaim(stream, group, consumer, CLAIM_AFTER_MILLISECONDS, justid=True)
        for start in ("0", ">"):
            answer = client.xreadgroup(
                group, consumer, {stream: start}, count=100, block=1000 if start == ">" else None
            )
            for _, entries in answer or []:
                for entry, fields in entries:
                    yield entry, json.loads(fields["payload"])


def main(policy: str, group: str = "example") -> None:
    client = redis.Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)
    stream, consumer = f"{policy}.decision.made", f"{socket.gethostname()}:{os.getpid()}"
    for entry, decision in follow(client, stream, group, consumer):
        handle(decision, datetime.now(UTC))
        client.xack(stream, group, entry)


if __name__ == "__main__":
    main(*sys.argv[1:])
