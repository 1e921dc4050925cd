"""Problems of a config, one for each refused setting. All callers find, carry and print them with this module."""

from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

RULE = "config_rule"
LONGEST_INPUT = 100
MOST_LISTED = 20  # problems in one text


class ConfigProblem(NamedTuple):
    """A setting that is refused. `path` is the setting's key within the config; empty: the config as a whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def within(self, section: str) -> "ConfigProblem":
        """Return the problem as one of the settings that contain this config as `section`."""
        return ConfigProblem(f"{section}.{self.path}" if self.path else section, self.message)


def broken_rule(field: str, message: str) -> PydanticCustomError:
    """Return the error for a validator to raise when `field` does not go with the other fields."""
    return PydanticCustomError(RULE, "{field}: {message}", {"field": field, "message": message})


def find_problems(error: ValidationError) -> list[ConfigProblem]:
    """Return the problems in the order of the settings, at most one for each path."""
    found = {}
    for detail in error.errors(include_url=False):
        # Pydantic marks a refused key of a mapping with a part of its own.
        path = [str(part) for part in detail["loc"] if part != "[key]"]
        # Pydantic's message names the class, which users do not know.
        message = "Input should be an object" if detail["type"] == "model_type" else detail["msg"]
        if detail["type"] == RULE:
            path.append(detail["ctx"]["field"])
            message = detail["ctx"]["message"]
        elif detail["type"] not in ("missing", "extra_forbidden"):
            given = str(detail["input"])[:LONGEST_INPUT]
            # YAML reads a symbol of digits as a number.
            quoted = f'; write "{given}", in quotes' if detail["type"] == "string_type" and given.isdecimal() else ""
            message = f"{message}, got {given}{quoted}"
        # Half of a surrogate pair can be stored in JSON, but neither be sent nor be stored as text.
        found[".".join(path)] = message.encode(errors="backslashreplace").decode()
    return [ConfigProblem(path, message) for path, message in found.items()]


def format_problems(problems: Iterable[ConfigProblem]) -> str:
    """Return the first problems as one line of text, with the number of the others."""
    texts = list(map(str, problems))
    others = len(texts) - MOST_LISTED
    return "; ".join([*texts[:MOST_LISTED], *([f"and {others:,} more"] if others > 0 else [])])
