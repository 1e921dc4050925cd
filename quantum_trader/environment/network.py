"""Settings about connections: how many connections clients may open, and which addresses the system may connect to."""

import os

from quantum_trader.environment import values


def connection_limits() -> tuple[int, int, int, int]:
    """Return four limits of one web process: connections, the same per address, live streams per user and per address.

    Connections of a trusted proxy are not limited. A page of the dashboard holds a live stream while the page is open.
    """
    return (
        values.whole_number("CONNECTIONS", 4_000, 10, 100_000),
        values.whole_number("CONNECTIONS_PER_ADDRESS", 200, 1, 100_000),
        values.whole_number("LIVE_STREAMS_PER_USER", 20, 1, 1_000),
        values.whole_number("LIVE_STREAMS_PER_ADDRESS", 100, 1, 1_000),
    )


def private_addresses_allowed() -> bool:
    """Return whether alert channels and exchanges may be at private addresses.

    Writes `true`, `on` and `yes` as 1 into the environment, because `rl_training.core.outgoing` reads the variable
    itself.
    """
    allowed = values.boolean("ALLOW_PRIVATE_ADDRESSES")
    if allowed:
        os.environ["ALLOW_PRIVATE_ADDRESSES"] = "1"
    return allowed
