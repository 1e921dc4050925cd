"""An exported policy: a folder from which other programs decide, without this project."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from rl_training.core.config import EnvironmentConfig
from rl_training.core.ppo.compiled_policy import OBSERVATION_CLIP
from rl_training.core.ppo.ensemble import PREFIX
from rl_training.core.run.checkpoint import SavedPolicy
from rl_training.core.sealed import TENSORS_FILE
from rl_training.core.trading.features import (
    ACCOUNT_OBSERVATIONS,
    CLIP,
    FloatArray,
    feature_names,
    formula_of,
    longest_window,
)

EXPORT_FORMAT = 1
DESCRIPTION_FILE, SCRIPT_FILE, ONNX_FILE = "policy.json", "decide.py", "policy.onnx"
# Stands for infinity, which JSON does not have.
NO_CLIP = 1e30
# The formulas of features.py in words, by their names; t is the bar of the decision.
TEXTS = {
    "log_return": "log(close[t] / close[t - {horizon}])",
    "volatility": "sqrt(mean of r^2) over the last {window} log returns r",
    "rsi": "rises / (rises + falls), summed over the last {window} changes of the close; 0.5 without changes",
    "macd": "(line[t] - a(line, {signal})) / close[t], line = a(close, {fast}) - a(close, {slow}), a(x, s): the "
    "exponential average with alpha = 2 / (s + 1) over the last 3 s values, weights normalised to sum to 1. The "
    "parameter weights holds the resulting weights of the last closes, oldest first",
    "range": "(high[t] - low[t]) / close[t]",
    "volume_zscore": "(volume[t] - mean) / deviation of the last {window} volumes; 0 if all are equal",
    "column": "the value of the column {name} of the market's file in the row of bar t, known at its close",
    "time": "{function}(2 pi ((seconds since 1970, UTC, - {origin}) mod {period}) / {period})",
}
ACCOUNT_TEXTS = (
    "units x close[t] / equity; negative when short",
    "log(equity / equity just after the last trade, its costs paid); 0 before the first trade",
    "1 - equity / highest equity at a close since the account was opened",
)
DECISION = (
    "Each observation entry is clip((value - mean) / scale, low, high), as float32. Each member computes "
    "clip((observation - mean) x scale, -clip, clip), then its layers W x + b with tanh between them, then softmax. "
    "The probability of a position is the mean over the members. The target position is the most probable one, the "
    "first of equal ones; it is traded at the open of bar t + 1 if it differs from the target before."
)


@dataclass(frozen=True)
class _Entry:
    """An entry of the observation. `kind` and `parameters` select its formula, which is in decide.py."""

    name: str
    kind: str
    parameters: dict[str, Any]
    text: str
    mean: float
    scale: float
    low: float
    high: float


def exported_files(saved: SavedPolicy, tensors: bytes, about: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the files of the folder by name; `tensors` is the policy's own safetensors file.

    `about` goes into the description: JSON values that say which policy this is. policy.onnx is among the files if the
    package `onnx` is installed (the extra `export`).
    """
    described = description(saved, about)
    files = {
        TENSORS_FILE: tensors,
        DESCRIPTION_FILE: json.dumps(described, indent=2, allow_nan=False).encode(),
        SCRIPT_FILE: Path(__file__).with_name(SCRIPT_FILE).read_bytes(),
    }
    if find_spec("onnx") is not None:
        # An optional package that nothing else needs.
        from rl_training.core.run.exporting.onnx_model import onnx_model

        files[ONNX_FILE] = onnx_model(saved, described)
    return files


def description(saved: SavedPolicy, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of policy.json: all that is needed to decide, besides the tensors."""
    environment, metadata = saved.environment, saved.manifest["metadata"]
    costs = ("fee", "slippage", "borrow_rate", "funding_rate")
    return {
        "format": EXPORT_FORMAT,
        **about,
        "market": metadata.get("market"),
        "trained_until": None if saved.trained_until is None else str(saved.trained_until),
        "bars": longest_window(environment.features) + 1,
        "decision": DECISION,
        "positions": environment.positions,
        "costs": {name: getattr(environment, name) for name in costs},
        "observation": [asdict(entry) for entry in _entries(saved)],
        "clip": OBSERVATION_CLIP if saved.policy.shape.normalises_observations else NO_CLIP,
        "members": _members(saved),
    }


def macd_weights(fast: int, slow: int, signal: int) -> FloatArray:
    """Return the weights of the last 3 (slow + signal) - 1 closes in MACD's histogram, oldest first."""
    line = -_average_weights(slow)
    line[-3 * fast :] += _average_weights(fast)
    of_lines = -_average_weights(signal)
    of_lines[-1] += 1.0
    weights: FloatArray = np.convolve(of_lines, line)
    return weights


def _average_weights(span: int) -> FloatArray:
    weights: FloatArray = np.power(1.0 - 2.0 / (span + 1), np.arange(3.0 * span)[::-1])
    weights /= weights.sum()
    return weights


def _entries(saved: SavedPolicy) -> Iterator[_Entry]:
    statistics = saved.statistics
    features = _features(saved.environment)
    for (name, kind, parameters, text), mean, scale in zip(features, statistics.mean, statistics.scale, strict=True):
        yield _Entry(name, kind, parameters, text, mean, scale, -CLIP, CLIP)
    largest = 2.0 * max(abs(position) for position in saved.environment.positions)
    limits = ((-largest, largest), (-CLIP, CLIP), (0.0, 1.0))
    for name, text, (low, high) in zip(ACCOUNT_OBSERVATIONS, ACCOUNT_TEXTS, limits, strict=True):
        yield _Entry(name, "account", {}, text, 0.0, 1.0, low, high)


def _features(environment: EnvironmentConfig) -> Iterator[tuple[str, str, dict[str, Any], str]]:
    """Yield name, kind, parameters and text of each entry that is a feature."""
    for feature in environment.features:
        formula, parameters = formula_of(feature)
        names = feature_names([feature])
        if formula == "time":
            for name, function in zip(names, ("sin", "cos"), strict=True):
                given = {"function": function, **parameters}
                yield name, "angle", given, TEXTS[formula].format(**given)
        elif formula == "macd":
            weights = macd_weights(**parameters).tolist()
            yield names[0], "weighted_close", {"weights": weights}, TEXTS[formula].format(**parameters)
        else:
            yield names[0], formula, parameters, TEXTS[formula].format(**parameters)


def _members(saved: SavedPolicy) -> list[dict[str, Any]]:
    """Return how each member reads observations, and the names of its tensors, layer by layer."""
    size, members = saved.policy.shape.observation_size, saved.policy.members
    described = []
    for number, member in enumerate(members):
        prefix = "" if len(members) == 1 else f"{PREFIX}.{number}."
        normaliser, layers = member.observations, range(len(member.network.actor.weights))
        described.append(
            {
                "mean": [0.0] * size if normaliser is None else normaliser.mean.tolist(),
                "scale": [1.0] * size if normaliser is None else normaliser.scale.tolist(),
                "layers": [[f"{prefix}network.actor.{part}.{i}" for part in ("weights", "biases")] for i in layers],
            }
        )
    return described
