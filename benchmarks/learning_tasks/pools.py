"""Processes that train policies."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from rl_training.core.run.training import warm_up


def pool_of(processes: int) -> ProcessPoolExecutor:
    """Return a pool of processes that have loaded the compiled code before their first task."""
    # Forked processes would inherit the state of torch's threads.
    return ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=warm_up)
