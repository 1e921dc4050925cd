from collections.abc import Iterator

import pytest

from rl_training.models import PolicyStore
from tests.alerts.watched import Watched
from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A local HTTP server that channels can send their messages to."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def watched(receiver: Receiver, policy: PolicyStore) -> Watched:
    return Watched(receiver, policy)
