"""A config as a form field: an editor made from its JSON schema, with each problem shown beside its setting."""

import json
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

import pydantic
from django import forms
from django.core.exceptions import ValidationError
from django_jsonform.utils import join_coords  # type: ignore[import-untyped]
from django_jsonform.widgets import JSONFormWidget  # type: ignore[import-untyped]

from rl_training.core.base_config import Config
from rl_training.core.config_problems import ConfigProblem, find_problems
from rl_training.core.market_config import SOURCE_FIELDS
from rl_training.market_files import offered_files
from rl_training.models import InvalidConfig
from rl_training.strict_json import parse_object


def form_schema(config: type[Config]) -> dict[str, Any]:
    """Return the JSON schema of `config` in the keywords that django-jsonform knows."""
    schema = config.model_json_schema(mode="serialization")
    # The form's fieldset has a heading already.
    schema.pop("title", None)
    for field in schema["properties"].values():
        # Without a title the label is the key, which errors, logs and commands use too.
        field.pop("title", None)
        if field.get("type") == "object":
            # The editor refuses the whole schema if an object lacks this key.
            field.setdefault("properties", {})
        if field.get("type") == "array":
            # The editor offers only the first of several forms of an item: the known names.
            field["items"] = field["items"].get("anyOf", [field["items"]])[0]
            if "enum" in field["items"]:
                field["items"] |= {"widget": "multiselect", "help_text": field.pop("description", "")}
        else:
            field["help_text"] = field.pop("description", "")
    return schema


class ConfigWidget(JSONFormWidget):
    """The editor of django-jsonform; a browser without JavaScript shows the JSON as text."""

    template_name = "rl_training/config_widget.html"
    schema: dict[str, Any]

    class Media:
        js = ("rl_training/config_names.js",)

    def offer(self, setting: str, names: Iterable[str]) -> None:
        """Offer further names for a setting that is a list of names."""
        # The forms of a class share the schema.
        self.schema = deepcopy(self.schema)
        offered = self.schema["properties"][setting]["items"]["enum"]
        offered += [name for name in dict.fromkeys(names) if name not in offered]

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["text"] = value
        return context


class MarketWidget(ConfigWidget):
    """The editor of a market: shows the settings of the selected source only, and offers the files that exist."""

    class Media:
        js = ("rl_training/market_source.js",)

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        return super().get_context(name, value, attrs) | {"source_fields": SOURCE_FIELDS, "files": offered_files()}


class ConfigField(forms.Field):
    """A field whose value is a `Config`. Its errors name each refused setting with the setting's range."""

    def __init__(self, config: type[Config], widget: type[ConfigWidget] = ConfigWidget, **kwargs: Any) -> None:
        self.config = config
        # The last value, with defaults in place of invalid settings. A form reads it for further checks.
        self.read: Config | None = None
        super().__init__(widget=widget(form_schema(config)), label="", **kwargs)

    def prepare_value(self, value: Any) -> str:
        """Return the JSON that the editor starts with: the stored config, or the JSON that the user has to correct.

        In a stored config that is invalid, defaults replace the invalid settings, and each problem is shown.
        """
        if isinstance(value, InvalidConfig):
            self.show_beside_fields(value.problems)
            value = self.config.with_defaults(value.raw)
        if isinstance(value, Config):
            return value.model_dump_json(indent=2)
        try:
            return json.dumps(parse_object(value), indent=2)
        except ValidationError:
            return self.config().model_dump_json(indent=2)

    def to_python(self, value: Any) -> Config:
        if isinstance(value, Config):
            return value
        given = parse_object(value)
        self.read = self.config.with_defaults(given)
        try:
            return self.config.model_validate(given)
        except pydantic.ValidationError as error:
            found = find_problems(error)
        self.show_beside_fields(found)
        raise ValidationError([self._explain(problem) for problem in found], code="invalid")

    def has_changed(self, initial: Any, data: Any) -> bool:
        if isinstance(initial, InvalidConfig):
            return True
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True

    def show_beside_fields(self, problems: Iterable[ConfigProblem]) -> None:
        """Make the editor show each problem beside its setting, in addition to the problems that it shows already."""
        shown = getattr(self.widget, "error_map", {})
        self.widget.error_map = shown | {join_coords(*path.split(".")): [message] for path, message in problems}

    def _explain(self, problem: ConfigProblem) -> str:
        field = self.config.model_fields.get(problem.path.split(".")[0])
        description = f" ({field.description})" if field and field.description else ""
        return f"{problem}{description}" if problem.path else problem.message
