from collections.abc import Callable
from typing import Any

import pytest

from rl_training.models import Deployment, PolicyStore, PolicyVersion
from rl_training.versions.changes import Author, Change
from rl_training.versions.deployments import deploy
from tests.api_clients import user_of
from tests.dashboard.pages.page_rows import version_of
from tests.stored import finished_run


@pytest.fixture
def versions(policy: PolicyStore) -> list[PolicyVersion]:
    """Three versions of the policy; none is live."""
    return [version_of(finished_run(policy), number) for number in (1, 2, 3)]


@pytest.fixture
def change(policy: PolicyStore) -> Callable[..., Deployment]:
    """Return a function by which an admin changes what is live."""

    def changed(action: str, version: PolicyVersion | None = None, **options: Any) -> Deployment:
        wanted = Change(Deployment.Action(action), options.pop("reason", "It is better."), version, **options)
        return deploy(policy, wanted, Author.of(user_of("admin")))

    return changed
