"""Decides by the policy beside it, with numpy alone: python decide.py BARS.csv [POSITION LOG_RETURN DRAWDOWN]"""

import json
import sys
from pathlib import Path

import numpy as np

FORMULAS = {
    "log_return": lambda b, c, horizon: np.log(c[-1] / c[-1 - horizon]),
    "volatility": lambda b, c, window: np.sqrt(np.mean(np.diff(np.log(c[-1 - window :])) ** 2)),
    "rsi": lambda b, c, window: 0.5 + (c[-1] - c[-1 - window]) / (np.abs(np.diff(c[-1 - window :])).sum() or 1.0) / 2,
    "weighted_close": lambda b, c, weights: c[-len(weights) :] @ weights / c[-1],
    "range": lambda b, c: (b["high"][-1] - b["low"][-1]) / c[-1],
    "volume_zscore": lambda b, c, window: z_score(b["volume"][-window:]),
    "angle": lambda b, c, function, period, origin: getattr(np, function)(
        2 * np.pi * ((np.datetime64(str(b["timestamp"][-1])[:19], "s").astype(np.int64) - origin) % period) / period
    ),
}


def z_score(x):
    x = x / (x.mean() or 1.0)
    return (x[-1] - x.mean()) / x.std() if x.std() > 1e-12 else 0.0


def load(folder):
    data, types = (folder / "policy.safetensors").read_bytes(), {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    start, tensors = 8 + int.from_bytes(data[:8], "little"), {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[first:last], types[entry["dtype"]]).reshape(entry["shape"])
    return json.loads((folder / "policy.json").read_text()), tensors


def observe(policy, bars, account):
    entries = policy["observation"]
    values = [FORMULAS[entry["kind"]](bars, bars["close"], **entry["parameters"]) for entry in entries[:-3]]
    mean, scale, low, high = (np.array([entry[key] for entry in entries]) for key in ("mean", "scale", "low", "high"))
    return np.clip((np.array([*values, *account]) - mean) / scale, low, high).astype(np.float32)


def probabilities(policy, tensors, observations):
    total = 0.0
    for member in policy["members"]:
        x = (np.float32(observations) - np.float32(member["mean"])) * np.float32(member["scale"])
        x = np.clip(x, -np.float32(policy["clip"]), np.float32(policy["clip"]))
        for layer, (weights, biases) in enumerate(member["layers"]):
            x = (np.tanh(x) if layer else x) @ tensors[weights].T + tensors[biases]
        powers = np.exp(np.float64(x) - np.float64(x).max(axis=1, keepdims=True))
        total = total + powers / powers.sum(axis=1, keepdims=True)
    return total / len(policy["members"])


if __name__ == "__main__":
    policy, tensors = load(Path(__file__).parent)
    bars = np.genfromtxt(sys.argv[1], delimiter=",", names=True, dtype=None, encoding="utf-8")
    found = probabilities(policy, tensors, [observe(policy, bars, [float(x) for x in sys.argv[2:5]] or [0.0] * 3)])[0]
    json.dump({"probabilities": found.tolist(), "target_position": policy["positions"][found.argmax()]}, sys.stdout)
