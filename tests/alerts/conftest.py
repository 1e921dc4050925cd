from collections.abc import Iterator

import pytest

from tests.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A local HTTP server that channels can send their messages to."""
    with receiving() as receiver:
        yield receiver
