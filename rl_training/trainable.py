"""Checks before settings are saved: whether runs could train with them."""

from pathlib import Path
from typing import Any

from rl_training.core.config import EnvironmentConfig, PPOConfig
from rl_training.core.config_problems import ConfigProblem
from rl_training.core.market.bars import MarketDataError
from rl_training.core.market.exchange_names import missing_bars, unknown_exchange
from rl_training.core.market_config import MarketConfig
from rl_training.core.market_layouts import PLAIN
from rl_training.market_checks import checked
from rl_training.market_files import opening_problem
from rl_training.models.config_column import as_json

# The setting that names the bars of a source.
NAMES_BARS = {"file": "path", "exchange": "bars", "planted": "bars"}
# The settings of an environment that decide how many bars a run needs.
NEEDS = ("episode_length", "features")


def market_problems(
    market: Any, environment: Any, saved_market: Any = None, saved_environment: Any = None
) -> list[ConfigProblem]:
    """Return why no run could train on the market, with paths such as `market.path`.

    The bars are read once while the file and the settings stay the same; an exchange is never queried. Saved settings
    are not checked again, so that a policy whose file is gone can still be edited. Sections that are invalid configs
    are not checked.
    """
    if not isinstance(market, MarketConfig):
        return []
    known = _same(market, saved_market, ("source", *market.effective_fields))
    columns = environment.own_columns if isinstance(environment, EnvironmentConfig) else ()
    if not known and (problem := _unreadable(market, columns)):
        return [problem.within("market")]
    if not isinstance(environment, EnvironmentConfig):
        return []
    if not known:
        return insufficient(market, environment, f"market.{NAMES_BARS.get(market.source, 'source')}")
    if not _same(environment, saved_environment, NEEDS):
        return insufficient(market, environment, "environment.episode_length")
    if not _same(market, saved_market, ("train_fraction",)):
        return insufficient(market, environment, "market.train_fraction")
    return []


def number_of_bars(market: MarketConfig) -> int:
    """Return how many bars a run would have, without querying an exchange. Raises MarketDataError."""
    if market.source == "exchange":
        return market.bars
    found = checked(market)
    if not found.usable:
        raise MarketDataError(str(found.facts["problem"]))
    return int(found.facts["bars"])


def device_warning(ppo: Any) -> str:
    """Return a warning if the setting `device` needs a GPU that this machine lacks, else an empty text.

    The setting is still valid, because the workers may run on other machines.
    """
    if not isinstance(ppo, PPOConfig) or ppo.device != "cuda" or has_gpu():
        return ""
    return (
        "ppo.device is cuda, and this machine has no NVIDIA GPU: runs fail unless the machine of each worker has one. "
        "With auto, runs use a GPU where there is one."
    )


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """Return whether the machine has an NVIDIA GPU, without loading torch. `dxg` is the GPU in Windows' WSL."""
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()


def _same(config: Any, saved: Any, names: tuple[str, ...]) -> bool:
    """Return whether these settings equal the saved ones. The saved config may be invalid."""
    wanted, stored = as_json(config), as_json(saved)
    return (
        isinstance(wanted, dict)
        and isinstance(stored, dict)
        and all(name in stored and wanted[name] == stored[name] for name in names)
    )


def _unreadable(market: MarketConfig, columns: tuple[str, ...]) -> ConfigProblem | None:
    """Return why the bars cannot be read. Problems of further columns, which are read with the bars, do not count."""
    if market.source == "exchange":
        if unknown := unknown_exchange(market.exchange):
            return ConfigProblem("exchange", unknown)
        missing = missing_bars(market.exchange, market.timeframe)
        return ConfigProblem(*missing) if missing else None
    if market.source == "file" and (problem := opening_problem(market.path)):
        return ConfigProblem("path", problem)
    found = checked(market, columns)
    if columns and not found.usable:
        found = checked(market)
    if not found.usable:
        return ConfigProblem(found.setting or NAMES_BARS.get(market.source, "source"), str(found.facts["problem"]))
    if market.source == "file" and market.symbol and market.format != PLAIN.name and not found.instruments:
        # The market's name would include the symbol, although the file does not say that its bars are of this symbol.
        return ConfigProblem("symbol", f"{market.path} names no instrument, so leave symbol empty; got {market.symbol}")
    return None


def insufficient(market: MarketConfig, environment: EnvironmentConfig, changed: str = "market") -> list[ConfigProblem]:
    """Return problems of too few bars, under the changed setting, and of features that need more columns or volumes.

    Returns no problem of bars that cannot be read.
    """
    # These modules import numpy, which only a process that checks a market needs.
    from rl_training.core.run.enough import too_few_bars
    from rl_training.core.trading.features import needs_volume

    bars, has_volume, columns = market.bars, True, environment.own_columns
    if market.source != "exchange" or columns:
        found = checked(market, columns)
        if not found.usable:
            by_columns = columns and (market.source == "exchange" or checked(market).usable)
            return [ConfigProblem("environment.features", str(found.facts["problem"]))] if by_columns else []
        bars, has_volume = found.facts["bars"], found.facts["has_volume"]
    problems = []
    if too_few := too_few_bars(bars, market.train_fraction, environment):
        problems.append(ConfigProblem(changed, too_few))
    if not has_volume and (needed := needs_volume(environment.features)):
        problems.append(ConfigProblem("environment.features", needed))
    return problems
