"""The base of every config: how strictly values are checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from rl_training.core.config_problems import broken_rule, find_problems


class BrokenRule(NamedTuple):
    """A rule between fields that a config breaks. `fields` are the compared fields, first the field to correct."""

    fields: tuple[str, ...]
    message: str


class Config(BaseModel):
    """Values that are validated once, when the object is made, with all problems in one error.

    Types are strict: a bool is not an int, text is not a number. NaN, infinity and unknown keys are errors.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def with_defaults(cls, given: Any) -> Self:
        """Return the given settings as a config, with defaults in place of the settings that are invalid.

        Where a rule between the remaining settings is broken, all are defaults.
        """
        if not isinstance(given, dict):
            return cls()
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            refused = {problem.path.split(".")[0] for problem in find_problems(error)}
        try:
            return cls.model_validate({name: value for name, value in given.items() if name not in refused})
        except ValidationError:
            return cls()

    def broken_rules(self) -> Iterator[BrokenRule]:
        """Yield the rules between fields that the values break."""
        yield from ()

    @model_validator(mode="wrap")
    @classmethod
    def check_rules(cls, value: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Check the rules between fields, also those between valid fields while other fields are refused."""
        problems: list[InitErrorDetails] = []
        refused: set[Any] = set()
        try:
            config = validate(value)
        except ValidationError as error:
            refused = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
            if not isinstance(value, dict) or not refused:
                raise
            problems = [
                {"type": cls._same_error(detail), "loc": detail["loc"], "input": detail["input"]}
                for detail in error.errors()
            ]
            try:
                config = validate({name: given for name, given in value.items() if name not in refused})
            except ValidationError:
                raise ValidationError.from_exception_data(cls.__name__, problems) from None
        broken = [rule for rule in config.broken_rules() if not refused.intersection(rule.fields)]
        problems += [{"type": broken_rule(fields[0], message), "input": value} for fields, message in broken]
        if problems:
            raise ValidationError.from_exception_data(cls.__name__, problems)
        return config

    @classmethod
    def _same_error(cls, detail: Any) -> PydanticCustomError:
        """Return an error with the type, context and message of an error that pydantic raised.

        The message about an unknown key names the known ones.
        """
        if detail["type"] == "extra_forbidden" and len(detail["loc"]) == 1:
            return PydanticCustomError(detail["type"], f"unknown; there are {', '.join(cls.model_fields)}")
        return PydanticCustomError(detail["type"], detail["msg"], detail.get("ctx"))


@dataclass(frozen=True)
class TextForm:
    """The form of a text, for `Annotated[str, TextForm(...)]`.

    `pattern` is a regular expression for the whole text; the JSON schema shows it. `words` describes the same form to
    users, and is the message when a text is refused.
    """

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> Any:
        return handler(schema) | {"pattern": f"^{self.pattern}$"}

    def _check(self, text: str) -> str:
        if re.fullmatch(self.pattern, text) is None:
            raise PydanticCustomError("text_form", "{words}", {"words": self.words})
        return text
