"""Settings by key, `<policy>.<section>.<field>`, as in `rl_v3.training.interval_minutes` and `rl_v3.ppo.gamma`."""

import json
from collections.abc import Iterator
from typing import Any

import pydantic
from django.core.exceptions import ValidationError

from rl_training import policy_edits
from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import ConfigProblem, find_problems, format_problems
from rl_training.flat_settings import flatten
from rl_training.models import MAXIMA, InvalidConfig, PolicyStore
from rl_training.models.config_column import as_json

TRAINING_FIELDS = ("enabled", *MAXIMA)


class SettingError(Exception):
    """A key is unknown or its field refuses the value; the message says what would be right."""


def settings_of(policy: PolicyStore) -> Iterator[tuple[str, Any]]:
    """Yield every key of the policy with its value. A config that is stored invalid is listed as it is stored."""
    sections = {f"{policy.name}.training": {field: getattr(policy, field) for field in TRAINING_FIELDS}}
    sections |= {f"{policy.name}.{section}": as_json(getattr(policy, section)) for section in SECTIONS}
    yield from flatten(sections).items()


def find_policy(name: str) -> PolicyStore:
    """Return the policy with this name. Raises `SettingError` with the known names."""
    policy = PolicyStore.objects.filter(name=name).first() if _is_unicode(name) else None
    if policy is None:
        known = ", ".join(PolicyStore.objects.values_list("name", flat=True)) or "none"
        raise SettingError(f"unknown policy {name!r}; known policies: {known}")
    return policy


def get(key: str) -> Any:
    """Return the value of a key; None where an invalid config has none. Raises `SettingError`."""
    policy, section, field = _parse(key)
    if section == "training":
        return getattr(policy, field)
    stored = as_json(getattr(policy, section))
    return stored.get(field) if isinstance(stored, dict) else None


def set_value(key: str, text: str) -> Any:
    """Validate and save one setting, and return its value. Raises `SettingError`.

    `text` is JSON; what is not valid JSON is taken as text. A section that is stored invalid can be repaired field by
    field: it may keep the problems that it had in other fields.
    """
    policy, section, field = _parse(key)
    value = _value(key, text)
    try:
        if section == "training":
            _set_training(policy, field, value)
        else:
            _set_in_section(policy, section, field, value)
    except ValidationError as error:
        raise SettingError(f"{key}: " + " ".join(error.messages)) from None
    return value


def _set_training(policy: PolicyStore, field: str, value: Any) -> None:
    expected = bool if field == "enabled" else int
    if type(value) is not expected:
        wanted = "true or false" if expected is bool else "a whole number"
        raise ValidationError(f"{field} must be {wanted}, got {json.dumps(value)}.")
    if field == "enabled":
        policy_edits.set_enabled(policy, value is True)
        return
    setattr(policy, field, value)
    policy.full_clean()
    policy.save_settings()


def _set_in_section(policy: PolicyStore, section: str, field: str, value: Any) -> None:
    changed = policy_edits.changed_section(policy, section, {field: value})
    before = getattr(policy, section)
    try:
        setattr(policy, section, SECTIONS[section].model_validate(changed))
    except pydantic.ValidationError as error:
        found = find_problems(error)
        if not isinstance(before, InvalidConfig) or not set(found) <= _elsewhere(before, field):
            raise ValidationError(format_problems(found)) from None
        setattr(policy, section, InvalidConfig(changed, tuple(found)))
    invalid = [name for name in SECTIONS if isinstance(getattr(policy, name), InvalidConfig)]
    policy.full_clean(exclude=invalid)
    policy.save_settings()


def _elsewhere(invalid: InvalidConfig, field: str) -> set[ConfigProblem]:
    """Return the problems of other fields than this one."""
    return {problem for problem in invalid.problems if problem.path.split(".")[0] != field}


def _value(key: str, text: str) -> Any:
    if not _is_unicode(text):
        raise SettingError(f"{key}: text that no encoding can hold")
    try:
        return json.loads(text)
    except RecursionError:
        raise SettingError(f"{key}: nested too deeply; a value is at most a list of values") from None
    except ValueError:
        return text


def _is_unicode(text: str) -> bool:
    """Return False for an argument of the command line that had bytes which are not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _parse(key: str) -> tuple[PolicyStore, str, str]:
    parts = key.split(".")
    if len(parts) != 3:
        raise SettingError(
            f"{key!r} is not a key; a key is <policy>.<section>.<field>, as rl_v3.training.interval_minutes"
        )
    name, section, field = parts
    policy = find_policy(name)
    fields = {"training": TRAINING_FIELDS} | {name: tuple(config.model_fields) for name, config in SECTIONS.items()}
    if section not in fields:
        raise SettingError(f"{key}: unknown section {section!r}; sections: {', '.join(fields)}")
    if field not in fields[section]:
        raise SettingError(f"{key}: unknown field {field!r}; fields of {section}: {', '.join(fields[section])}")
    return policy, section, field
