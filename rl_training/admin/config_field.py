"""A typed config as a form field: fields rendered from its JSON schema, errors beside the field that is wrong."""

import json
from typing import Any

import pydantic
from django import forms
from django.core.exceptions import ValidationError
from django_jsonform.utils import join_coords  # type: ignore[import-untyped]
from django_jsonform.widgets import JSONFormWidget  # type: ignore[import-untyped]

from rl_training.core.base_config import Config
from rl_training.core.config_problems import problems

# A config has some dozens of short settings.
MAX_CHARACTERS = 64_000


def form_schema(config: type[Config]) -> dict[str, Any]:
    """The JSON schema of `config` in the keywords that django-jsonform knows."""
    schema = config.model_json_schema()
    # The heading is the fieldset's.
    schema.pop("title", None)
    for field in schema["properties"].values():
        # Labels are made of the key, so that they read as the keys in errors, logs and commands do.
        field.pop("title", None)
        if field.get("type") == "array":
            if "enum" in field["items"]:
                field["items"] |= {"widget": "multiselect", "help_text": field.pop("description", "")}
        else:
            field["help_text"] = field.pop("description", "")
    return schema


class ConfigWidget(JSONFormWidget):
    """django-jsonform's editor; without JavaScript, its text."""

    template_name = "rl_training/config_widget.html"

    class Media:
        js = ("rl_training/config_names.js",)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["text"] = value
        return context


class ConfigField(forms.Field):
    """Holds a `Config`; a refused one is reported field by field, with the setting's range."""

    def __init__(self, config: type[Config], **kwargs: Any) -> None:
        self.config = config
        super().__init__(widget=ConfigWidget(form_schema(config)), label="", **kwargs)

    def prepare_value(self, value: Any) -> str:
        """The JSON that the editor starts with; what was sent, when that is an object, to be corrected."""
        if isinstance(value, Config):
            return value.model_dump_json(indent=2)
        try:
            return json.dumps(strict_object(value), indent=2)
        except ValidationError:
            return self.config().model_dump_json(indent=2)

    def to_python(self, value: Any) -> Config:
        if isinstance(value, Config):
            return value
        try:
            return self.config.model_validate(strict_object(value))
        except pydantic.ValidationError as error:
            found = problems(error)
        self.show_beside_fields(found)
        raise ValidationError([self._explain(path, message) for path, message in found.items()], code="invalid")

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True

    def show_beside_fields(self, found: dict[str, str]) -> None:
        """Make the editor show each problem at its field; `found` is as `core.config.problems` returns it."""
        self.widget.error_map = {join_coords(*path.split(".")): [message] for path, message in found.items()}

    def _explain(self, path: str, message: str) -> str:
        field = self.config.model_fields.get(path.split(".")[0])
        description = f" ({field.description})" if field and field.description else ""
        return f"{path}: {message}{description}" if path else message


def repaired(config: type[Config], stored: Any) -> tuple[Config, dict[str, str]]:
    """What a column holds as `config`, with defaults for settings that are invalid, and the problems found in it.

    The problems are as `core.config.problems` returns them; none as a rule.
    """
    if isinstance(stored, config):
        return stored, {}
    try:
        return config.model_validate(stored), {}
    except pydantic.ValidationError as error:
        found = problems(error)
    refused = {path.split(".")[0] for path in found}
    settings = stored.items() if isinstance(stored, dict) else ()
    try:
        return config.model_validate({name: value for name, value in settings if name not in refused}), found
    except pydantic.ValidationError:
        return config(), found


def strict_object(text: Any) -> dict[str, Any]:
    """Parse a JSON object. Raises Django's `ValidationError` on anything else, duplicate keys, NaN and infinity."""
    if not isinstance(text, str) or not text.strip():
        raise ValidationError("Required: a JSON object with the settings.", code="required")
    if len(text) > MAX_CHARACTERS:
        raise ValidationError(f"{len(text):,} characters; at most {MAX_CHARACTERS:,} are taken.", code="too_long")
    try:
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValidationError("Text that no encoding can hold: half of a surrogate pair.", code="invalid") from None
    except RecursionError:
        raise ValidationError("Nested too deeply; settings are at most lists of values.", code="invalid") from None
    except ValueError as error:
        raise ValidationError(f"Not valid JSON: {error}", code="invalid") from None
    if not isinstance(value, dict):
        raise ValidationError("Must be a JSON object with the settings.", code="invalid")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key}: given more than once")
        found[key] = value
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a JSON number")
