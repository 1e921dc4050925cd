"""Reading the streams as one consumer of a group: each entry is handled by one of the group's consumers, at least once.

An entry stays with the consumer that it was handed to until that one acknowledges it. What a consumer left when it
died is claimed by the others after a while, or read again by one that is started under the same name.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import redis

from quantum_trader.redis_clients import redis_client
from rl_training.streams.entries import Entry

# Below the client's socket timeout, which would otherwise end a wait for news as an error; and a consumer that is asked
# to stop does so within this.
BLOCK_MILLISECONDS = 1000
ENTRIES = 100
# More than a group has under way in one stream.
CLAIMED_ENTRIES = 1000
LOOK_FOR_LEFT_SECONDS = 5.0


@dataclass
class Consumer:
    """`name` in `group`. Names are told apart by Redis alone: each consumer that runs needs its own.

    `claim_after`: seconds after which an entry that was handed out and not acknowledged was left by a dead consumer.
    """

    group: str
    name: str
    claim_after: float = 60.0
    _joined: set[str] = field(default_factory=set)
    _claim_at: float = 0.0

    def read(self, streams: Iterable[str]) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Stream, id and fields of what is to be handled next, oldest first; ends after a second without news.

        Raises `redis.RedisError`; the entries handed out so far are handed out again then. A group that Redis does not
        know (any more) is made, from the start of the stream.
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
            else:  # handed out, and deleted from the stream before it was handled
                self.acknowledge(stream, entry_id)

    def acknowledge(self, stream: str, entry_id: str) -> None:
        """The entry has been handled. Raises `redis.RedisError`."""
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
        """Take over what dead consumers left; it is then among this one's own."""
        idle = round(self.claim_after * 1000)
        pipe = redis_client().pipeline(transaction=False)
        for stream in streams:
            pipe.xautoclaim(stream, self.group, self.name, idle, count=CLAIMED_ENTRIES, justid=True)
        pipe.execute()
        self._claim_at = time.monotonic() + min(LOOK_FOR_LEFT_SECONDS, self.claim_after)

    def _entries(self, streams: list[str], after: str) -> list[tuple[str, str, dict[str, str]]]:
        """Id, stream and fields: after "0" this consumer's own that it did not acknowledge, after ">" new ones."""
        block = BLOCK_MILLISECONDS if after == ">" else None
        where = cast(Any, dict.fromkeys(streams, after))
        answer = redis_client().xreadgroup(self.group, self.name, where, count=ENTRIES, block=block)
        found = cast(dict[str, list[Entry]], answer or {})
        return [(entry_id, stream, fields) for stream, entries in found.items() for entry_id, fields in entries]
