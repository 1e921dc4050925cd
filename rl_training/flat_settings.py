"""Settings in sections as one flat mapping by key: `enabled`, `ppo.gamma` ..."""

from collections.abc import Mapping
from typing import Any

from rl_training.models import PolicyStore
from rl_training.models.config_column import as_json


def flatten(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings by key: `<field>`, and `<section>.<field>` for the settings of a section.

    A section that is no mapping, as an invalid section may be, keeps its own key.
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= {f"{name}.{field}": setting for field, setting in value.items()}
        else:
            found[name] = value
    return found


def settings_by_key(row: Any) -> dict[str, Any]:
    """Return the settings of a policy, or of an entry of its history, by key."""
    return flatten({name: as_json(getattr(row, name)) for name in PolicyStore.SETTINGS})


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings that differ in the order of their keys, each as a dict of `field`, `old` and `new`."""
    return [
        {"field": key, "old": old.get(key), "new": new.get(key)}
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
