"""Settings about connections: how many clients may make, and where the system may connect to."""

import os

from quantum_trader.environment import values


def connection_limits() -> tuple[int, int, int, int]:
    """Return how many connections one web process takes, and of one address; live streams of one user and address.

    A trusted proxy's connections are not limited. A page of the dashboard holds a live stream while it is open.
    """
    return (
        values.whole_number("CONNECTIONS", 4_000, 10, 100_000),
        values.whole_number("CONNECTIONS_PER_ADDRESS", 200, 1, 100_000),
        values.whole_number("LIVE_STREAMS_PER_USER", 20, 1, 1_000),
        values.whole_number("LIVE_STREAMS_PER_ADDRESS", 100, 1, 1_000),
    )


def private_addresses_allowed() -> bool:
    """Return whether alert channels and exchanges may be at private addresses.

    `rl_training.core.outgoing`, which knows no settings, reads the variable: every way to write yes becomes 1.
    """
    allowed = values.boolean("ALLOW_PRIVATE_ADDRESSES")
    if allowed:
        os.environ["ALLOW_PRIVATE_ADDRESSES"] = "1"
    return allowed
