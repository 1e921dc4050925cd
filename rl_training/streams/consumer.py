"""Reading the streams as one consumer of a group: one consumer of the group handles each entry, at least once.

Redis keeps an entry pending for the consumer that received it until this consumer acknowledges it. Other consumers
claim the pending entries of a dead consumer after a while, or a consumer that starts under the same name reads them
again.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from quantum_trader.redis_clients import redis_client
from rl_training.streams.entries import Entry

# Shorter than the client's socket timeout, which would end the wait with an error. A consumer stops within this time.
BLOCK_MILLISECONDS = 1000
ENTRIES = 100
# More entries than a group has pending in one stream.
CLAIMED_ENTRIES = 1000
CLAIM_EVERY_SECONDS = 5.0


@dataclass
class Consumer:
    """The consumer `name` of `group`. Redis knows consumers only by name, so each running consumer needs its own name.

    `claim_after`: seconds after which a pending entry counts as left by a dead consumer.
    """

    group: str
    name: str
    claim_after: float = 60.0
    _joined: set[str] = field(default_factory=set)
    _claim_at: float = 0.0

    def read(self, streams: Iterable[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield stream, id and fields of the next entries, oldest first; end after a second without new entries.

        An unknown group is created at the start of the stream. Raises `redis.RedisError`; the entries received so far
        are then delivered again.
        """
        names = list(streams)
        if not names:
            return
        try:
            self._join(names)
            if time.monotonic() >= self._claim_at:
                self._claim(names)
            found = self._entries(names, "0") or self._entries(names, ">")
        except redis.ResponseError as error:
            if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            self._joined.clear()  # Redis came back empty
            return
        for entry_id, stream, fields in sorted(found, key=lambda entry: [int(part) for part in entry[0].split("-")]):
            if fields:
                yield stream, entry_id, fields
            else:  # the entry was deleted from the stream while it was pending
                self.acknowledge(stream, entry_id)

    def acknowledge(self, stream: str, entry_id: str) -> None:
        """Acknowledge a handled entry, so that it is no longer pending. Raises `redis.RedisError`."""
        redis_client().xack(stream, self.group, entry_id)

    def _join(self, streams: list[str]) -> None:
        for stream in streams:
            if stream in self._joined:
                continue
            try:
                redis_client().xgroup_create(stream, self.group, id="0", mkstream=True)
            except redis.ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise
            self._joined.add(stream)

    def _claim(self, streams: list[str]) -> None:
        """Take over the pending entries of dead consumers; they are then this consumer's own pending entries."""
        idle = round(self.claim_after * 1000)
        pipe = redis_client().pipeline(transaction=False)
        for stream in streams:
            pipe.xautoclaim(stream, self.group, self.name, idle, count=CLAIMED_ENTRIES, justid=True)
        pipe.execute()
        self._claim_at = time.monotonic() + min(CLAIM_EVERY_SECONDS, self.claim_after)

    def _entries(self, streams: list[str], after: str) -> list[tuple[str, str, dict[str, str]]]:
        """Return id, stream and fields: this consumer's pending entries after "0", new entries after ">"."""
        block = BLOCK_MILLISECONDS if after == ">" else None
        where = cast(Any, dict.fromkeys(streams, after))
        answer = redis_client().xreadgroup(self.group, self.name, where, count=ENTRIES, block=block)
        found = cast(dict[str, list[Entry]], answer or {})
        return [(entry_id, stream, fields) for stream, entries in found.items() for entry_id, fields in entries]
