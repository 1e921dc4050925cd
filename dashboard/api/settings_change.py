"""Changes of a policy's settings by PATCH: the schema of a change, the settings' entity tag, and the change itself."""

import hashlib
import json
from typing import Any

import pydantic
from django.core.exceptions import ValidationError

from dashboard.api.protocol.problem_details import InvalidInput
from rl_training import keys
from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import find_problems
from rl_training.models import MAXIMA, InvalidConfig, PolicyStore
from rl_training.models.config_column import as_json
from rl_training.policy_edits import changed_section, set_enabled

SCHEMA = {
    "type": "object",
    "title": "SettingsChange",
    "additionalProperties": False,
    "properties": {
        "enabled": {"type": "boolean"},
        **{name: {"type": "integer", "minimum": 1, "maximum": maximum} for name, maximum in MAXIMA.items()},
        **{name: config.model_json_schema() for name, config in SECTIONS.items()},
    },
}


def sections(policy: PolicyStore) -> dict[str, Any]:
    """Return the policy's configs as JSON values, an invalid one as it is stored."""
    return {name: as_json(getattr(policy, name)) for name in SECTIONS}


def tag(policy: PolicyStore, stored: dict[str, Any]) -> str:
    """Return the entity tag of the settings, which differs after any change of them.

    `stored` is the result of `sections(policy)`.
    """
    settings = {name: getattr(policy, name) for name in ("name", *keys.TRAINING_FIELDS)} | stored
    return f'"{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]}"'


def apply(policy: PolicyStore, changes: dict[str, Any], user: Any) -> None:
    """Validate and save the changes. Writes nothing if no value changes. Raises `InvalidInput`.

    A policy with a config that is stored invalid can be enabled and disabled; any other change has to repair it too.
    """
    if changes.keys() == {"enabled"} and type(changes["enabled"]) is bool:
        set_enabled(policy, changes["enabled"], user)
        return
    wrong: dict[str, str] = {}
    changed = False
    for name, value in changes.items():
        if name in keys.TRAINING_FIELDS:
            changed |= set_scalar(policy, name, value, wrong)
        elif name not in SECTIONS:
            wrong[name] = f"There is no such setting; there are {', '.join(SCHEMA['properties'])}."  # type: ignore[arg-type]
        elif not isinstance(value, dict):
            wrong[name] = "Must be an object with the settings to change."
    for name in SECTIONS:
        changed |= set_section(policy, name, changes.get(name), wrong)
    if wrong:
        raise InvalidInput(wrong)
    try:
        policy.full_clean()
    except ValidationError as error:
        raise InvalidInput({name: " ".join(found) for name, found in error.message_dict.items()}) from None
    if changed:
        policy._history_user = user
        policy.save_settings()


def set_section(policy: PolicyStore, name: str, change: Any, wrong: dict[str, str]) -> bool:
    """Return whether the section changed. Adds to `wrong` what is invalid after the change, if there is one."""
    stored = getattr(policy, name)
    if not isinstance(change, dict):
        problems = stored.problems if isinstance(stored, InvalidConfig) else ()
        wrong |= dict(problem.within(name) for problem in problems)
        return False
    wanted = changed_section(policy, name, change)
    try:
        setattr(policy, name, SECTIONS[name].model_validate(wanted))
    except pydantic.ValidationError as error:
        wrong |= dict(problem.within(name) for problem in find_problems(error))
    return bool(wanted != as_json(stored))


def set_scalar(policy: PolicyStore, name: str, value: Any, wrong: dict[str, str]) -> bool:
    """Set a setting and return whether its value changed. A refused value adds a message to `wrong` instead."""
    maximum = MAXIMA.get(name)
    if maximum is None and type(value) is not bool:
        wrong[name] = "Must be true or false."
    elif maximum is not None and not (type(value) is int and 1 <= value <= maximum):
        wrong[name] = f"Must be a whole number from 1 to {maximum:,}."
    else:
        changed = bool(getattr(policy, name) != value)
        setattr(policy, name, value)
        return changed
    return False
