"""The result of the uninterrupted run, which tests compare with."""

import pytest

from rl_training.core.run.training import train
from tests.core.run.small_run import CONFIG, MARKET


@pytest.fixture(scope="session")
def whole():
    return train(CONFIG, MARKET)
