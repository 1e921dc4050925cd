"""Changes of several settings at once, validated as a whole: by the API, by commands and from a file."""

import json
from collections.abc import Mapping
from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from rl_training.core.config import SECTIONS
from rl_training.core.config_problems import LONGEST_INPUT, find_problems
from rl_training.models import CHOICES, RANGES, InvalidConfig, PolicyStore
from rl_training.models.config_column import as_json
from rl_training.policy_edits import changed_section, market_problems_after, set_enabled
from rl_training.roles import DEPLOY

TRAINING_FIELDS = ("enabled", *RANGES, *CHOICES)
CHANGEABLE = (*TRAINING_FIELDS, *SECTIONS)
# Settings that decide what is live, what a verdict requires, and when guards act. Changing them needs the permission to
# deploy.
RESERVED = ("promotion", "must_beat", "fallback", "demotion_bars", "drawdown_limit")


class SettingsRefusedError(Exception):
    """Settings are refused and nothing was changed. `errors` maps each setting, such as `ppo.gamma`, to a message."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{name}: {message}" for name, message in self.errors.items()))


def settings_of(policy: PolicyStore) -> dict[str, Any]:
    """Return the policy's settings, without its name, as JSON values. An invalid config is returned as it is stored."""
    return {name: as_json(getattr(policy, name)) for name in CHANGEABLE}


def apply(policy: PolicyStore, changes: Mapping[str, Any], user: Any) -> None:
    """Validate and save the changes. Writes nothing if no value changes. Raises `SettingsRefusedError`.

    A policy with an invalid stored config can be enabled and disabled; any other change has to repair the config too.
    """
    if changes.keys() == {"enabled"} and type(changes["enabled"]) is bool:
        set_enabled(policy, changes["enabled"], user)
        return
    before = _reserved_of(policy)
    if assign(policy, changes):
        _check_reserved(policy, before, user)
        policy._history_user = user
        policy.save_settings()


def create(name: Any, changes: Mapping[str, Any], like: PolicyStore | None = None, user: Any = None) -> PolicyStore:
    """Validate and save a new policy with the settings in `changes`; the others come from `like` or are defaults.

    A copy is disabled unless the changes enable it, so that users can edit its settings before it trains. A copy has
    default values of RESERVED if `user` may not change them. Raises `SettingsRefusedError`.
    """
    policy = PolicyStore(name=name)
    if like is not None:
        for setting in CHANGEABLE:
            setattr(policy, setting, getattr(like, setting))
        policy.enabled = False
    keep_reserved(policy, user)
    before = _reserved_of(policy)
    assign(policy, changes)
    _check_reserved(policy, before, user)
    if user is not None:
        policy._history_user = user
    save_new(policy)
    return policy


def may_change_reserved(user: Any) -> bool:
    """Return whether the user may change the settings of RESERVED. A command, for which `user` is None, may."""
    return user is None or bool(user.has_perm(DEPLOY))


def keep_reserved(policy: PolicyStore, user: Any) -> None:
    """Unless the user may change RESERVED, reset these settings to stored values, or in a new policy to defaults."""
    if not may_change_reserved(user):
        stored = PolicyStore.objects.filter(pk=policy.pk).values(*RESERVED).first()
        for name, value in (stored or _reserved_of(PolicyStore())).items():
            setattr(policy, name, value)


def _reserved_of(policy: PolicyStore) -> dict[str, Any]:
    return {name: getattr(policy, name) for name in RESERVED}


def _check_reserved(policy: PolicyStore, before: Mapping[str, Any], user: Any) -> None:
    """Raise `SettingsRefusedError` if a setting of RESERVED differs from `before` and the user may not change it."""
    changed = [name for name, value in before.items() if getattr(policy, name) != value]
    if changed and not may_change_reserved(user):
        raise SettingsRefusedError(dict.fromkeys(changed, f"Changing it needs the permission {DEPLOY}."))


def save_new(policy: PolicyStore) -> None:
    """Insert a validated policy. Raises `SettingsRefusedError` if its name was taken since."""
    try:
        with transaction.atomic():
            policy.save(force_insert=True)
    except IntegrityError:
        raise SettingsRefusedError({"name": f"There is a policy {policy.name} already."}) from None


def assign(policy: PolicyStore, changes: Mapping[str, Any]) -> bool:
    """Set the changed settings on the policy without saving it, and return whether any setting differs from before.

    Validates the policy as a whole. Raises `SettingsRefusedError` with all refused settings.
    """
    wrong: dict[str, str] = {}
    changed = False
    for name, value in changes.items():
        if name in TRAINING_FIELDS:
            changed |= _set_scalar(policy, name, value, wrong)
        elif name not in SECTIONS:
            wrong[name] = f"There is no such setting; the settings are {', '.join(CHANGEABLE)}."
        elif not isinstance(value, dict):
            wrong[name] = "Must be an object with the settings to change."
    sections = {name: value for name, value in changes.items() if name in SECTIONS and isinstance(value, dict)}
    found = market_problems_after(policy, sections)
    for name in SECTIONS:
        changed |= _set_section(policy, name, sections.get(name), wrong)
    wrong = dict(found) | wrong
    try:
        policy.full_clean(exclude=[name for name in SECTIONS if isinstance(getattr(policy, name), InvalidConfig)])
    except ValidationError as error:
        wrong |= {name: " ".join(found) for name, found in error.message_dict.items()}
    if wrong:
        raise SettingsRefusedError(wrong)
    return changed


def _set_section(policy: PolicyStore, name: str, change: Mapping[str, Any] | None, wrong: dict[str, str]) -> bool:
    """Set the section and return whether it changed. Adds the problems of the section to `wrong`."""
    stored = getattr(policy, name)
    if change is None:
        if isinstance(stored, InvalidConfig):
            wrong |= dict(problem.within(name) for problem in stored.problems)
        return False
    wanted = changed_section(policy, name, change)
    try:
        setattr(policy, name, SECTIONS[name].model_validate(wanted))
    except pydantic.ValidationError as error:
        wrong |= dict(problem.within(name) for problem in find_problems(error))
    return bool(wanted != as_json(stored))


def _set_scalar(policy: PolicyStore, name: str, value: Any, wrong: dict[str, str]) -> bool:
    """Set a setting and return whether its value changed. For a refused value, adds a message to `wrong` instead."""
    problem = scalar_problem(name, value)
    if problem:
        wrong[name] = problem
        return False
    changed = bool(getattr(policy, name) != value)
    setattr(policy, name, value)
    return changed


def scalar_problem(name: str, value: Any) -> str:
    """Return which values are valid if a setting of TRAINING_FIELDS refuses the JSON value, else an empty text."""
    if name in CHOICES:
        words = CHOICES[name].values
        fits, valid = isinstance(value, str) and value in words, f"one of {', '.join(words)}"
    elif name in RANGES:
        minimum, maximum = RANGES[name]
        fits = type(value) is int and minimum <= value <= maximum
        valid = f"a whole number from {minimum} to {maximum:,}"
    else:
        fits, valid = type(value) is bool, "true or false"
    # In JSON, the text "true" differs from the value true.
    return "" if fits else f"Must be {valid}, got {json.dumps(value, default=str)[:LONGEST_INPUT]}."
