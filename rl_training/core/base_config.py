"""The base of every config: how strictly values are checked."""

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema


class Config(BaseModel):
    """Values that are validated once, when the object is made.

    Types are strict: a bool is not an int, text is not a number. NaN, infinity and unknown keys are errors.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


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
