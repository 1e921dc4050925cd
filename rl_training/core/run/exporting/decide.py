"""Decides by the policy beside it, with numpy alone. Usage: decide.py BARS.csv [POSITION LOG_RETURN DRAWDOWN]"""

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
    "volume_zscore": lambda b, c, window: FORMULAS["z"](b["volume"][-window:] / (b["volume"][-window:].mean() or 1.0)),
    "z": lambda x: 0.0 if x.std() <= 1e-12 else (x[-1] - x.mean()) / x.std(),
    "column": lambda b, c, name: float(b[name][-1]),
    "angle": lambda b, c, function, period, origin: getattr(np, function)(
        2 * np.pi * ((np.datetime64(str(b["timestamp"][-1])[:19], "s").astype(np.int64) - origin) % period) / period
    ),
}


def load(folder):
    data, types = (folder / "policy.safetensors").read_bytes(), {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
    start, tensors = 8 + int.from_bytes(data[:8], "little"), {}
    for name, entry in json.loads(data[8:start]).items():
        if name != "__metadata__":
            first, last = (start + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[first:last], types[entry["dtype"]]).reshape(entry["shape"])
    return json.loads((folder / "policy.json").read_text()), tensors


def observe(policy, bars, account):
    features = [FORMULAS[one["kind"]](bars, bars["close"], **one["parameters"]) for one in policy["observation"][:-3]]
    mean, scale, low, high = np.array([[e["mean"], e["scale"], e["low"], e["high"]] for e in policy["observation"]]).T
    return np.clip((np.array([*features, *account]) - mean) / scale, low, high).astype(np.float32)


def probabilities(policy, tensors, observations):
    total, limit = 0.0, np.float32(policy["clip"])
    for one in policy["members"]:
        x = np.clip((np.float32(observations) - np.float32(one["mean"])) * np.float32(one["scale"]), -limit, limit)
        for layer, (weights, biases) in enumerate(one["layers"]):
            x = (np.tanh(x) if layer else x) @ tensors[weights].T + tensors[biases]
        powers = np.exp(np.float64(x) - np.float64(x).max(axis=1, keepdims=True))
        total = total + powers / powers.sum(axis=1, keepdims=True)
    return total / len(policy["members"])


if __name__ == "__main__":
    sys.excepthook = lambda kind, error, trace: sys.stderr.write(f"decide.py: {kind.__name__}: {error}\n")
    path, *account = sys.argv[1:] if len(sys.argv) in (2, 5) else sys.exit(__doc__)
    policy, tensors = load(Path(__file__).parent)
    table = np.loadtxt(path, str, comments=None, delimiter=",", encoding="utf-8-sig", ndmin=2)
    len(table) > policy["bars"] or sys.exit(f"{path} has {len(table)} rows: needs a header and {policy['bars']} bars")
    bars = {n: np.array(cells, float if n in ("high", "low", "close", "volume") else str) for n, *cells in table.T}
    found = probabilities(policy, tensors, [observe(policy, bars, [float(x) for x in account] or [0.0] * 3)])[0]
    (np.isfinite(found).all() and min(bars["close"]) > 0) or sys.exit(f"{path}: NaN, or a close is not positive")
    json.dump({"probabilities": found.tolist(), "target_position": policy["positions"][found.argmax()]}, sys.stdout)
