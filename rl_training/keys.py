"""Settings by key, `<policy>.<section>.<field>`, as in `rl_v3.training.interval_minutes` and `rl_v3.ppo.gamma`."""

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db import transaction

from rl_training import policy_edits
from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import ConfigProblem, find_problems
from rl_training.flat_settings import flatten
from rl_training.models import InvalidConfig, PolicyStore
from rl_training.models.config_column import as_json
from rl_training.settings_change import TRAINING_FIELDS, scalar_problem
from rl_training.strict_json import DuplicateKeyError, without_duplicates


class SettingError(Exception):
    """A key is unknown or its field refuses the value; the message says what would be right."""


def settings_of(policy: PolicyStore) -> Iterator[tuple[str, Any]]:
    """Yield every key of the policy with its value. A config that is stored invalid is listed as it is stored."""
    sections = {f"{policy.name}.training": {field: getattr(policy, field) for field in TRAINING_FIELDS}}
    sections |= {f"{policy.name}.{section}": as_json(getattr(policy, section)) for section in SECTIONS}
    yield from flatten(sections).items()


def find_policy(name: str) -> PolicyStore:
    """Return the policy with this name. Raises `SettingError` with the known names."""
    policy = PolicyStore.objects.filter(name=name).first() if is_unicode(name) else None
    if policy is None:
        known = ", ".join(PolicyStore.objects.values_list("name", flat=True)) or "none"
        raise SettingError(f"unknown policy {name!r}; known policies: {known}")
    return policy


def get(key: str) -> Any:
    """Return the value of a key; None if an invalid config lacks the value. Raises `SettingError`."""
    name, section, field = _parse(key)
    policy = find_policy(name)
    if section == "training":
        return getattr(policy, field)
    stored = as_json(getattr(policy, section))
    return stored.get(field) if isinstance(stored, dict) else None


def set_values(texts: Mapping[str, str]) -> dict[str, Any]:
    """Validate the values of these keys together, save all of them or none, and return them. Raises `SettingError`.

    The texts are JSON; a text that is not valid JSON is used as it is. A section that is stored invalid can be repaired
    field by field: it may keep the problems that it had in other fields.
    """
    policies: dict[str, dict[str, dict[str, Any]]] = {}
    values = {}
    problems: list[str] = []
    names = {key.split(".")[0] for key in texts}
    known = set(PolicyStore.objects.filter(name__in=filter(is_unicode, names)).values_list("name", flat=True))
    for key, text in texts.items():
        try:
            name, section, field = _parse(key, known)
            values[key] = read_value(key, text)
        except SettingError as error:
            problems.append(str(error))
        else:
            policies.setdefault(name, {}).setdefault(section, {})[field] = values[key]
    with transaction.atomic():
        for name, changes in policies.items():
            problems += [f"{name}.{problem}" for problem in _change(name, changes)]
        if problems:
            raise SettingError("\n".join(problems))
    return values


def _change(name: str, changes: dict[str, dict[str, Any]]) -> list[ConfigProblem]:
    """Save the changes, by section and field, of the policy; or return the problems, with paths such as `ppo.gamma`."""
    policy = PolicyStore.objects.select_for_update().get(name=name)
    training = changes.pop("training", {})
    if not changes and training.keys() == {"enabled"} and type(training["enabled"]) is bool:
        policy_edits.set_enabled(policy, training["enabled"])
        return []
    wrong = _set_training(policy, training)
    problems = [problem.within("training") for problem in wrong]
    found = policy_edits.market_problems_after(policy, changes)
    for section, fields in changes.items():
        problems += [problem.within(section) for problem in _set_in_section(policy, section, fields)]
    refused = {problem.path for problem in problems}
    problems += [problem for problem in found if problem.path not in refused]
    # An invalid section prevents a change of `training` alone, but no change that also names a field of a section.
    problems += [] if changes else policy.config_problems
    try:
        policy.full_clean(exclude=[*SECTIONS, *(problem.path for problem in wrong)])
    except ValidationError as error:
        for field, messages in error.message_dict.items():
            problems += [ConfigProblem(f"training.{field}", message) for message in messages]
    if not problems:
        policy.save_settings()
    return problems


def _set_training(policy: PolicyStore, values: Mapping[str, Any]) -> list[ConfigProblem]:
    """Set the fields on the policy, and return the problems of refused values."""
    problems = []
    for field, value in values.items():
        if problem := scalar_problem(field, value):
            problems.append(ConfigProblem(field, problem))
        else:
            setattr(policy, field, value)
    return problems


def _set_in_section(policy: PolicyStore, section: str, fields: dict[str, Any]) -> list[ConfigProblem]:
    """Set the fields on the policy's section, and return the problems that prevent saving it."""
    changed = policy_edits.changed_section(policy, section, fields)
    before = getattr(policy, section)
    try:
        config = SECTIONS[section].model_validate(changed)
    except pydantic.ValidationError as error:
        found = find_problems(error)
        if not isinstance(before, InvalidConfig) or not set(found) <= _elsewhere(before, fields):
            return found
        setattr(policy, section, InvalidConfig(changed, tuple(found)))
        return []
    setattr(policy, section, config)
    return []


def _elsewhere(invalid: InvalidConfig, fields: Container[str]) -> set[ConfigProblem]:
    """Return the problems of fields other than these."""
    return {problem for problem in invalid.problems if problem.path.split(".")[0] not in fields}


def read_value(key: str, text: str) -> Any:
    """Return the value that a command gives a key: JSON, or else text. Raises `SettingError`.

    The key may lack the policy, as `ppo.gamma` does.
    """
    if not is_unicode(text):
        raise SettingError(f"{key}: text that no encoding can hold")
    try:
        value = json.loads(text, object_pairs_hook=without_duplicates)
    except RecursionError:
        raise SettingError(f"{key}: nested too deeply; a value is at most a list of values") from None
    except DuplicateKeyError as error:
        raise SettingError(f"{key}: {error}") from None
    except ValueError:
        return text
    # Text may stand without quotes, also where it looks like a number: the symbol 7203, or a file named 2024.
    path, _, name = key.rpartition(".")
    config = SECTIONS.get(path.rpartition(".")[2])
    field = config.model_fields.get(name) if config else None
    takes_text = field is not None and field.annotation is str
    return text if takes_text and type(value) in (int, float) else value


def is_unicode(text: str) -> bool:
    """Return False for a command-line argument whose bytes were not UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _parse(key: str, known: Container[str] = ()) -> tuple[str, str, str]:
    """Return the policy's name, the section and the field. Raises `SettingError` if one of them does not exist.

    Policies in `known` are known to exist.
    """
    parts = key.split(".")
    if len(parts) != 3:
        raise SettingError(
            f"{key!r} is not a key; a key is <policy>.<section>.<field>, as rl_v3.training.interval_minutes"
        )
    name, section, field = parts
    if name not in known:
        find_policy(name)
    fields = {"training": TRAINING_FIELDS} | {name: tuple(config.model_fields) for name, config in SECTIONS.items()}
    if section not in fields:
        raise SettingError(f"{key}: unknown section {section!r}; sections: {', '.join(fields)}")
    if field not in fields[section]:
        raise SettingError(f"{key}: unknown field {field!r}; fields of {section}: {', '.join(fields[section])}")
    return name, section, field
