"""Columns that hold a config of `core` as JSON and can be read even if the stored config is invalid.

A release may refuse a config that an older release stored, and users with access to the database can store any value.
Such a value is loaded as an `InvalidConfig` with the stored value and its problems. Saving it writes the same value.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pydantic
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.db.models.fields.json import KeyTransform
from django.db.models.query_utils import DeferredAttribute
from django_pydantic_field.fields import PydanticSchemaField
from pydantic_core import from_json

from rl_training.core.base_config import Config
from rl_training.core.config_problems import ConfigProblem, find_problems, format_problems


@dataclass(frozen=True)
class InvalidConfig:
    """A stored config that its model refuses: the JSON value and its problems, with paths within the config.

    A value that is nested too deeply, or that Python or UTF-8 cannot represent, is replaced by its JSON text.
    """

    raw: Any
    problems: tuple[ConfigProblem, ...]

    def __str__(self) -> str:
        return json.dumps(self.raw)


class InvalidConfigError(Exception):
    """The stored config is invalid but needed. The message names each problem."""

    def __init__(self, problems: Iterable[ConfigProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__(format_problems(self.problems))


class StoredConfig(str):
    """The JSON of a config as the database returned it. It is validated when the attribute is first read.

    Lists of policies and of runs, and the scheduler's ticks, read many rows and few of their configs.
    """

    __slots__ = ()


def as_json(value: Any) -> Any:
    """Return a setting of a policy as a JSON value; an invalid config as it is stored."""
    if isinstance(value, InvalidConfig):
        return value.raw
    return value.model_dump(mode="json") if isinstance(value, Config) else value


def load(model: type[Config], text: str) -> Config | InvalidConfig:
    """Return the config that the JSON `text` holds."""
    try:
        return model.model_validate_json(text)
    except pydantic.ValidationError as error:
        return InvalidConfig(_parse(text), tuple(find_problems(error)))


def _parse(text: str) -> Any:
    """Return the value of the JSON text; the text itself if pages and the API could not show the value."""
    try:
        # Refuses lone surrogates, and nesting that would exceed the recursion limit of code that shows the value.
        value = from_json(text)
        json.dumps(value, allow_nan=False)
    except ValueError:
        return text
    return value


class ConfigAttribute(DeferredAttribute):
    """The attribute of a model's instance. Assigning an invalid value raises Django's `ValidationError`."""

    field: "ConfigColumn"

    def __get__(self, instance: Any, cls: Any = None) -> Any:
        value = super().__get__(instance, cls)
        if isinstance(value, StoredConfig):
            # An invalid config may keep the text, and writers of YAML refuse subclasses of str.
            value = instance.__dict__[self.field.attname] = load(self.field.schema, str(value))
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        loaded = value if isinstance(value, StoredConfig) else self.field.to_python(value)
        instance.__dict__[self.field.attname] = loaded


class ConfigColumn(PydanticSchemaField[Any]):
    """A column whose attribute is a config of the model `schema`, or an `InvalidConfig`."""

    schema: type[Config]
    descriptor_class = ConfigAttribute

    def deconstruct(self) -> Any:
        # Migrations need only the type of the column, and the existing ones name the parent class.
        name, _, arguments, keywords = super().deconstruct()
        return name, "django_pydantic_field.fields.PydanticSchemaField", arguments, keywords

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        # A query may select a path within the JSON: its value is no config.
        if value is None or isinstance(expression, KeyTransform):
            return super().from_db_value(value, expression, connection)
        return StoredConfig(value)

    def to_python(self, value: Any) -> Config | InvalidConfig:
        if isinstance(value, self.schema | InvalidConfig):
            return value
        try:
            if isinstance(value, str | bytes):
                return self.schema.model_validate_json(value)
            return self.schema.model_validate(value)
        except pydantic.ValidationError as error:
            raise ValidationError([str(problem) for problem in find_problems(error)], code="invalid") from None

    def validate(self, value: Any, model_instance: Model | None) -> None:
        if isinstance(value, InvalidConfig):
            found = [str(problem.within(self.name)) for problem in value.problems]
            raise ValidationError(found, code="invalid")
        super().validate(value, model_instance)

    def get_prep_value(self, value: Any) -> Any:
        return value.raw if isinstance(value, InvalidConfig) else super().get_prep_value(value)

    def value_to_string(self, obj: Model) -> Any:
        return as_json(self.value_from_object(obj))


def config_column(model: type[Config]) -> Any:
    """Return a column of configs of `model` with the model's defaults. Callers must declare the attribute's type."""
    return ConfigColumn(schema=model, default=model)
