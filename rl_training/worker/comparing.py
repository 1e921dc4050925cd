"""The execution of a claimed comparison: reads weights and bars, compares, and writes the result."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from rl_training.core import fault_points
from rl_training.core.sealed import CheckpointError
from rl_training.files import artifacts
from rl_training.models import Comparison, PolicyVersion
from rl_training.runs import work_lifecycle
from rl_training.versions import comparisons
from rl_training.worker.database_retry import patiently, write_end
from rl_training.worker.execution import explain
from rl_training.worker.work_ownership import StoppedError, WorkOwner

if TYPE_CHECKING:
    from rl_training.core.evaluation.comparison import ComparedPolicy


class WeightsMissingError(Exception):
    """The weights of a version cannot be read; the message names the version."""


def execute(comparison: Comparison, should_stop: Callable[[], bool]) -> None:
    """Compute a claimed comparison and write its end. An unexpected error is written, then raised again."""
    from rl_training.core.evaluation.comparison import ComparisonError  # torch: see execution.train()
    from rl_training.core.market.bars import MarketDataError

    with WorkOwner(comparison) as owner:

        def check() -> None:
            if owner.stop.is_set() or should_stop():
                raise StoppedError

        def write(end: Callable[..., object], *arguments: Any) -> None:
            write_end(end, comparison, *arguments, while_waiting=owner.note_activity)

        try:
            columns = patiently(_compare, comparison, check, while_waiting=check)
        except (StoppedError, SystemExit) as stop:
            # Service managers send SIGTERM to all processes of a group, and Celery turns it into SystemExit.
            connection.close()
            write(comparisons.release)
            if isinstance(stop, SystemExit):
                raise
        except (ComparisonError, WeightsMissingError, MarketDataError, comparisons.CannotCompareError) as error:
            write(work_lifecycle.fail, str(error))
        except Exception as error:
            write(work_lifecycle.fail, explain(error))
            raise
        else:
            fault_points.reach("compared")
            write(_succeed, columns)


def _succeed(comparison: Comparison, columns: dict[str, Any]) -> bool:
    return work_lifecycle.succeed(comparison, **columns)


def _compare(comparison: Comparison, check: Callable[[], None]) -> dict[str, Any]:
    """Return the columns of the result."""
    from rl_training.core.evaluation.comparison import compare  # torch: see execution.train()
    from rl_training.core.market.sources import load_market

    versions = list(comparison.compared().select_related("run"))
    config = comparisons.common_market(versions)
    policies = [_read(version) for version in versions]
    check()
    # The market ends at the first start, so that every attempt compares on the same bars.
    market = load_market(
        config,
        root=settings.MARKET_DATA_ROOT,
        until=comparison.started_at,
        on_page=check,
        columns=sorted({name for compared in policies for name in compared.environment.own_columns}),
    )
    # The computation must not hold a connection that it does not use.
    connection.close()
    found = compare(policies, market, config, on_progress=check)
    first, last = found.span
    return {
        "result": found.as_dict(),
        "bars": found.bars,
        "bars_first": first,
        "bars_last": last,
        "bars_digest": found.digest,
    }


def _read(version: PolicyVersion) -> "ComparedPolicy":
    """Return the policy of a version. Raises `WeightsMissingError`, and `OSError` when the storage does not answer."""
    import numpy as np

    from rl_training.core.evaluation.comparison import ComparedPolicy

    try:
        saved = artifacts.load(version.artifact)
    except (FileNotFoundError, CheckpointError) as error:
        raise WeightsMissingError(f"The weights of {version} cannot be read: {error}") from error
    # A policy of an older release does not name its last training bar, but its evaluation began after that bar.
    trained_until = saved.trained_until
    if trained_until is None:
        try:
            trained_until = np.datetime64(version.evaluation["timestamps"][0].removesuffix("Z"))
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise WeightsMissingError(f"The last training bar of {version} is unknown.") from None
    return ComparedPolicy(str(version), saved.policy, saved.environment, saved.statistics, trained_until)
