"""Memory for a run on 2.6 million one-minute bars: five years of a continuous market."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[3]
BARS = 2_600_000
# Runs in a process of its own and prints its own memory.
TRAIN = """
import sys
from pathlib import Path
from rl_training.core.config import EnvironmentConfig, PPOConfig, TrainingConfig
from rl_training.core.market_config import MarketConfig
from rl_training.core.market.sources import load_market
from rl_training.core.run.training import train
market_config = MarketConfig(source="file", path=sys.argv[2])
config = TrainingConfig(
    market=market_config,
    environment=EnvironmentConfig(episode_length=64),
    ppo=PPOConfig(num_envs=32, rollout_length=64, minibatch_size=512, hidden_sizes=[16]),
    episodes=2,
)
# The run stops before the evaluation, which would step through half a million bars.
result = train(config, load_market(market_config, root=Path(sys.argv[1])), should_stop=lambda: True)
# Not of getrusage(): that begins with the memory of the process that started this one.
[peak] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(result.environment_steps, int(peak) // 1024)
"""


def test_training_on_five_years_of_minute_bars_takes_moderate_memory(tmp_path):
    generator = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(generator.normal(0, 2e-4, BARS)))
    opened = np.concatenate([[100.0], close[:-1]])
    table = pa.table(
        {
            "timestamp": np.arange(1_577_836_800, 1_577_836_800 + 60 * BARS, 60),
            "open": opened,
            "high": np.maximum(opened, close) * 1.0001,
            "low": np.minimum(opened, close) * 0.9999,
            "close": close,
            "volume": generator.uniform(1, 100, BARS),
        }
    )
    parquet.write_table(table, tmp_path / "bars.parquet")
    command = [sys.executable, "-c", TRAIN, str(tmp_path), "bars.parquet"]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    steps, mebibytes = map(int, output.splitlines()[-1].split())
    assert steps == 32 * 64
    assert mebibytes < 1500
