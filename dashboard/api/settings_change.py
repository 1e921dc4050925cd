"""Settings of a policy in requests: the schemas of a change and of a new policy, and the settings' entity tag."""

import hashlib
import json
from typing import Any

from dashboard.api.protocol.views import MAX_NAME_LENGTH
from rl_training.core.config import SECTIONS
from rl_training.models import CHOICES, RANGES, PolicyStore
from rl_training.models.config_column import as_json
from rl_training.settings_change import TRAINING_FIELDS

SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "SettingsChange",
    "additionalProperties": False,
    "properties": {
        "enabled": {"type": "boolean"},
        **{name: {"type": "integer", "minimum": least, "maximum": most} for name, (least, most) in RANGES.items()},
        **{name: {"type": "string", "enum": words.values} for name, words in CHOICES.items()},
        **{name: config.model_json_schema() for name, config in SECTIONS.items()},
    },
}
NAME = {"type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": MAX_NAME_LENGTH}
CREATION_SCHEMA = {
    "type": "object",
    "title": "PolicyCreation",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": NAME,
        "like": {
            "type": ["string", "null"],
            "description": "The policy whose settings the new policy copies; null is the same as no `like`.",
        },
        **SCHEMA["properties"],
    },
}


def sections(policy: PolicyStore) -> dict[str, Any]:
    """Return the policy's configs as JSON values, an invalid config as it is stored."""
    return {name: as_json(getattr(policy, name)) for name in SECTIONS}


def tag(policy: PolicyStore, stored: dict[str, Any]) -> str:
    """Return the entity tag of the settings, which differs after any change of them.

    `stored` is the result of `sections(policy)`.
    """
    settings = {name: getattr(policy, name) for name in ("name", *TRAINING_FIELDS)} | stored
    return f'"{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]}"'
