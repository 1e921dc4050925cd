"""Measures how long the folds of the default recipe take with one and with two processes."""

import time
from collections.abc import Iterator

from benchmarks.learning_tasks.pools import pool_of
from benchmarks.results.figures import Figure
from benchmarks.validation_rows.markets import ar1_market
from benchmarks.validation_rows.recipes import default_recipe
from rl_training.core.run.walk_forward.fold_training import train_fold
from rl_training.core.run.walk_forward.folds import FOLDS, plan_folds


def speed(seeds: int) -> Iterator[Figure]:
    """Yield the times of 8 folds, each of a version of `seeds` members, on a market of 5,000 bars."""
    seconds, digests = zip(*(_measure(processes, seeds) for processes in (1, 2)), strict=True)
    what = f"{FOLDS} folds x {seeds} seeds of the default recipe"
    yield Figure(f"{what}, one process", seconds[0], "s")
    yield Figure(f"{what}, two processes", seconds[1], "s", at_most=30.0)
    yield Figure(f"{what}, one process / two", seconds[0] / seconds[1], "times", at_least=1.7)
    differing = sum(one != two for one, two in zip(*digests, strict=True))
    yield Figure("folds whose weights depend on the processes", differing, "folds", at_most=0)


def _measure(processes: int, seeds: int) -> tuple[float, list[str]]:
    """Return the wall time of all folds, without the start of the processes, and the digests of the weights."""
    with pool_of(processes) as pool:
        # The tasks take long enough that each process takes one.
        list(pool.map(time.sleep, [1.0] * processes))
        started = time.perf_counter()
        digests = list(pool.map(_train, range(FOLDS), [seeds] * FOLDS))
        return time.perf_counter() - started, digests


def _train(number: int, seeds: int) -> str:
    market, config = ar1_market(0), default_recipe().config.model_copy(update={"seeds": seeds})
    fold = plan_folds(len(market), config.environment)[number]
    return train_fold(config, market, fold).weights_digest
