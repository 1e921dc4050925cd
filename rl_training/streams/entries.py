"""Entries of streams, as readers outside of a consumer group see them."""

from typing import Any, cast

from quantum_trader.redis_clients import redis_client

# An entry's id and its fields.
Entry = tuple[str, dict[str, str]]


def stored(stream: str) -> list[Entry]:
    """Return all entries of a stream, oldest first. Raises `redis.RedisError`."""
    return cast(list[Entry], redis_client().xrange(stream))


def read(after: dict[str, str], block_milliseconds: int) -> dict[str, list[Entry]]:
    """Return the entries that come after the given id of each stream, or nothing after `block_milliseconds`.

    Raises `redis.RedisError`.
    """
    return cast(dict[str, list[Entry]], redis_client().xread(cast(Any, after), block=block_milliseconds) or {})
