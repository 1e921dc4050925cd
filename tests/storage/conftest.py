from collections.abc import Iterator

import pytest

from rl_training.models import PolicyStore
from tests.alerts.watched import Watched
from tests.receiver import receiving


@pytest.fixture
def watched(policy: PolicyStore) -> Iterator[Watched]:
    with receiving() as receiver:
        yield Watched(receiver, policy)
