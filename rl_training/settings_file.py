"""All settings of policies as one JSON or YAML file: written by an export, and read as a whole by an import."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction

from rl_training import strict_yaml
from rl_training.flat_settings import differences, flatten
from rl_training.models import PolicyStore
from rl_training.settings_change import SettingsRefusedError, assign, save_new, settings_of
from rl_training.strict_json import parse_object

# A file of this length holds the settings of some thousand policies.
MAX_FILE_CHARACTERS = 10_000_000


class Imported(NamedTuple):
    """The changes of an import as lines of text, and the changed policies with their new settings, saved or not."""

    changes: list[str]
    policies: list[PolicyStore]


def export_settings(policies: Iterable[PolicyStore], *, as_yaml: bool = False) -> str:
    """Return the file's text: an object whose `policies` maps each name to the policy's settings."""
    document = {"policies": {policy.name: settings_of(policy) for policy in policies}}
    return strict_yaml.written(document) if as_yaml else json.dumps(document, indent=2) + "\n"


def import_settings(wanted: Mapping[str, Any], *, dry_run: bool = False) -> Imported:
    """Change and create policies from the settings that read() returns; return the changes.

    Changes all policies or none. Settings and policies that `wanted` does not name stay as they are; a new policy has
    defaults for such settings. With `dry_run`, validates the settings and changes nothing. Raises
    `SettingsRefusedError` with every refused setting, under a key such as `rl_v3.ppo.gamma`.
    """
    wrong: dict[str, str] = {}
    imported = Imported([], [])
    with transaction.atomic():
        for name, settings in wanted.items():
            try:
                policy, found = _changed_policy(name, settings)
            except SettingsRefusedError as error:
                wrong |= {f"{name}.{setting}": message for setting, message in error.errors.items()}
                continue
            imported.changes.extend(found)
            imported.policies.extend([policy] if found else [])
        if wrong:
            raise SettingsRefusedError(wrong)
        for policy in () if dry_run else imported.policies:
            if policy.pk is None:
                save_new(policy)
            else:
                policy.save_settings()
    return imported


def _document(text: str) -> dict[str, Any]:
    start = text.lstrip()
    if start and not start.startswith("{"):
        return strict_yaml.parse_object(text)
    return parse_object(text, max_characters=MAX_FILE_CHARACTERS)


def read(text: str) -> dict[str, Any]:
    """Return the settings in a file's text, by the policy's name. Raises `SettingsRefusedError`.

    A text that begins with `{` or is empty is read as JSON, any other text as YAML.
    """
    try:
        document = _document(text)
    except ValidationError as error:
        raise SettingsRefusedError({"file": " ".join(error.messages)}) from None
    wanted = document.get("policies")
    if document.keys() != {"policies"} or not isinstance(wanted, dict):
        form = 'Must be an object like {"policies": {"rl_v3": {"interval_minutes": 60}}}, as an export writes it.'
        raise SettingsRefusedError({"file": form})
    return wanted


def _changed_policy(name: str, settings: Any) -> tuple[PolicyStore, list[str]]:
    """Return the policy with the settings, unsaved, and its changes as lines of text. The row stays locked."""
    try:
        PolicyStore._meta.get_field("name").run_validators(name)
    except ValidationError as error:
        raise SettingsRefusedError({"name": " ".join(error.messages)}) from None
    if not isinstance(settings, dict):
        raise SettingsRefusedError({"settings": "Must be an object with the policy's settings."})
    policy = PolicyStore.objects.select_for_update().filter(name=name).first()
    if policy is None:
        policy = PolicyStore(name=name)
        assign(policy, settings)
        return policy, [f"{name}: created"]
    before = flatten(settings_of(policy))
    assign(policy, settings)
    changes = differences(before, flatten(settings_of(policy)))
    return policy, [f"{name}.{change['field']}: {_text(change['old'])} -> {_text(change['new'])}" for change in changes]


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
