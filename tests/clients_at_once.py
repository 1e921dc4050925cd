"""Several clients of the database at once, each with its own connection. Tests use them on PostgreSQL only."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

CLIENTS = 8


def in_threads(work: Callable[[int], object]) -> None:
    """Call `work` with the number of each client, all at once."""
    together = threading.Barrier(CLIENTS)

    def run(client: int) -> None:
        try:
            together.wait()
            work(client)
        finally:
            connection.close()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(run, range(CLIENTS)))
