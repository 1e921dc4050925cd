"""Contents of market files for the tests, and the message of a refusal."""

import numpy as np
import pytest

from rl_training.core.market.bars import MarketDataError

HEADER = "timestamp,open,high,low,close,volume\n"
ROWS = [
    "2020-01-01 00:00:00,10,12,9,11,5\n",
    "2020-01-01 01:00:00,11,13,10,12,0\n",
    "2020-01-01 02:00:00,12,14,11,13,7\n",
]


def columns(**changes):
    return {
        "timestamp": np.array(["2020-01-01T00", "2020-01-01T01", "2020-01-01T02"], "M8[ms]"),
        "open": [10.0, 11.0, 12.0],
        "high": [12.0, 13.0, 14.0],
        "low": [9.0, 10.0, 11.0],
        "close": [11.0, 12.0, 13.0],
        "volume": [5.0, 0.0, 7.0],
    } | changes


def refusal(load, content, **settings):
    with pytest.raises(MarketDataError) as error:
        load(content, **settings)
    return str(error.value)
