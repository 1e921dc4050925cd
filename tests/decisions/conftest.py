from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rl_training.models import PolicyStore, PolicyVersion
from tests.decisions.growing import Growing, closing, set_up
from tests.stored import deploy
from tests.versions.conftest import change
from tests.weights import stored_version

__all__ = ["change"]


@pytest.fixture
def market_root(settings: Any, tmp_path: Path) -> Path:
    settings.MARKET_DATA_ROOT = tmp_path / "market"
    return tmp_path / "market"


@pytest.fixture
def growing(market_root: Path, policy: PolicyStore) -> Growing:
    """The policy's market, a file with some history."""
    set_up(policy)
    return Growing(market_root)


@pytest.fixture
def versions(artifact_root: Path, policy: PolicyStore) -> list[PolicyVersion]:
    """Two versions with random weights; none is live."""
    return [stored_version(policy, number) for number in (1, 2)]


@pytest.fixture
def grow(policy: PolicyStore, versions: list[PolicyVersion], market_root: Path) -> Callable[..., Growing]:
    """Return a function that makes the policy's market, whose last bar closed the given time ago, and decides on it."""

    def made(**ago: float) -> Growing:
        set_up(policy)
        growing = Growing(market_root, market=closing(datetime.now(UTC) - timedelta(**ago)))
        deploy(versions[0], at=growing.now - timedelta(days=1))
        growing.round()
        return growing

    return made
