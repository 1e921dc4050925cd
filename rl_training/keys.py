"""Settings by key, `<policy>.<section>.<field>`: `rl_v3.training.interval_minutes`, `rl_v3.ppo.gamma`."""

import json
from collections.abc import Iterator
from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import problems
from rl_training.models import PolicyStore

TRAINING_FIELDS = ("enabled", "interval_minutes", "episodes_per_run", "stall_limit_minutes", "run_limit_minutes")


class SettingError(Exception):
    """A key that names nothing, or a value that its field refuses: the message says what would be right."""


def settings_of(policy: PolicyStore) -> Iterator[tuple[str, Any]]:
    """Every key of the policy with its value, an invalid one that was written past the forms included."""
    for field in TRAINING_FIELDS:
        yield f"{policy.name}.training.{field}", getattr(policy, field)
    for section in SECTIONS:
        for field, value in _stored(policy, section).items():
            yield f"{policy.name}.{section}.{field}", value


def policies() -> QuerySet[PolicyStore]:
    """The policies without their typed columns, which are read one by one: an invalid one hides nothing else."""
    return PolicyStore.objects.defer(*SECTIONS)


def find_policy(name: str) -> PolicyStore:
    """The policy of that name. Raises `SettingError` naming the known ones."""
    policy = policies().filter(name=name).first() if _is_unicode(name) else None
    if policy is None:
        known = ", ".join(PolicyStore.objects.values_list("name", flat=True)) or "none"
        raise SettingError(f"unknown policy {name!r}; known policies: {known}")
    return policy


def get(key: str) -> Any:
    """The value of a key. Raises `SettingError`."""
    policy, section, field = _parse(key)
    return getattr(policy, field) if section == "training" else _stored(policy, section).get(field)


def set_value(key: str, text: str) -> Any:
    """Validate and save one setting; `text` is JSON, or taken as it stands where it is not. Raises `SettingError`."""
    policy, section, field = _parse(key)
    value = _value(key, text)
    try:
        if section == "training":
            _set_training(policy, field, value)
        else:
            config = SECTIONS[section].model_validate(_stored(policy, section) | {field: value})
            setattr(policy, section, config)
        policy.full_clean()
    except pydantic.ValidationError as error:
        raise SettingError(
            f"{key}: " + "; ".join(f"{path}: {text}" for path, text in problems(error).items())
        ) from None
    except ValidationError as error:
        raise SettingError(f"{key}: " + " ".join(error.messages)) from None
    policy.save_settings()
    return value


def _stored(policy: PolicyStore, section: str) -> dict[str, Any]:
    """The fields of a typed column; as they stand where the column holds what its model refuses."""
    column = PolicyStore.objects.filter(pk=policy.pk).values_list(section, flat=True).get()
    return column.model_dump(mode="json") if isinstance(column, pydantic.BaseModel) else dict(column)


def _set_training(policy: PolicyStore, field: str, value: Any) -> None:
    expected = bool if field == "enabled" else int
    if type(value) is not expected:
        wanted = "true or false" if expected is bool else "a whole number"
        raise ValidationError(f"{field} must be {wanted}, got {json.dumps(value)}.")
    setattr(policy, field, value)


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
    """False where an argument of the command line had bytes that are none."""
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
