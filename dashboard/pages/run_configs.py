"""The config and the computing environment of a run as text, and the config's changes since the previous run."""

from collections.abc import Sequence
from typing import Any

from quantum_trader.text import encodable
from rl_training.core.config import SECTIONS
from rl_training.core.market.reading import WORDS
from rl_training.core.market_config import with_effect
from rl_training.flat_settings import differences, flatten

CONFIG_KEYS = (
    "episodes",
    "seed",
    "seeds",
    *(f"{name}.{field}" for name, of in SECTIONS.items() for field in of.model_fields),
)

# The key of the environments of earlier attempts, as in core/run/computing_environment.py, which imports torch.
EARLIER = "earlier"
MARKET_KEYS = ("name", "digest", "first", "last", "bars", "gaps")
READING_KEYS = ("layout", "zone", "repairs", "drops", "suspicions", "unused", "notes")
COMPUTING_KEYS = ("code.version", "code.sha256", "device", "threads", "libraries.python")


def config_changes(old: Any, new: Any) -> list[dict[str, Any]]:
    """Return the `field`, `old` and `new` of each setting that differs, except the seed, which always differs."""
    before, after = flat(old), flat(new)
    return [change for change in differences(before, after) if change["field"] != "seed"]


def flat(config: Any) -> dict[str, str]:
    """Return the settings of a snapshot that have an effect as text, by key: `episodes`, `ppo.gamma` ..."""
    shown = config if isinstance(config, dict) else {}
    if "market" in shown:
        shown = shown | {"market": with_effect(shown["market"])}
    return {key: text(value) for key, value in flatten(shown).items()}


def config_groups(config: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the settings of a snapshot by group, under the names and in the order of the policy's page."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for key, value in in_order(flat(config), CONFIG_KEYS).items():
        group, _, field = key.rpartition(".")
        groups.setdefault(group or "training", []).append((field, value))
    return list(groups.items())


def computing_environment(stored: Any) -> dict[str, str]:
    """Return the computing environment of a run as text by name: `code.version`, `libraries.torch` ...

    An environment of earlier attempts is shown by its differences from that of the last attempt.
    """
    if not isinstance(stored, dict):
        return {}
    last = flat({name: value for name, value in stored.items() if name != EARLIER and value is not None})
    found = in_order(last, COMPUTING_KEYS)
    earlier = stored.get(EARLIER)
    for number, other in enumerate(earlier if isinstance(earlier, list) else [], start=1):
        changes = [f"{change['field']}: {change['old']}" for change in differences(flat(other), last) if change["old"]]
        found[f"earlier attempt, difference {number}"] = "; ".join(changes)
    return found


def market_rows(summary: Any) -> dict[str, Any]:
    """Return what a run stored about its bars and how they were read, as text by name."""
    if not isinstance(summary, dict):
        return {}
    found = {name: value for name, value in summary.items() if name != "reading"}
    reading = summary.get("reading")
    rows = in_order(found, MARKET_KEYS)
    if isinstance(reading, dict):
        rows |= {name: _reading_text(value) for name, value in in_order(reading, READING_KEYS).items()}
    return rows


def _reading_text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{WORDS.get(kind, kind)}: {text(count)}" for kind, count in value.items())
    return text(value)


def in_order(found: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Return the dict with the listed keys first: PostgreSQL does not keep the order of the keys in JSON."""
    return {key: found[key] for key in [*(key for key in keys if key in found), *sorted(found.keys() - set(keys))]}


def text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(text, value))
    return f"{value:g}" if isinstance(value, float) else encodable(str(value))
