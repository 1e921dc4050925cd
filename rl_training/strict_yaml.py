"""Settings as YAML: the values of JSON in YAML's block form, without YAML's other types, aliases and tags."""

import re
from typing import Any

import yaml
from django.core.exceptions import ValidationError

# The parser is slow: a text of this length, with the settings of some hundred policies, takes some seconds.
MAX_CHARACTERS = 1_000_000
# The plain values of JSON. Any other value without quotes is text, even if YAML 1.1 reads it as a boolean or a date.
PLAIN_VALUES = {
    "null": ("(?:null|)", ["n", ""]),
    "bool": ("(?:true|false)", ["t", "f"]),
    "int": ("-?(?:0|[1-9][0-9]*)", list("-0123456789")),
    "float": (r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
}


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse `*name`, which can make a short text a huge value, and tags such as `!!set`."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        refused = isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None) not in (None, "!")
        if refused:
            raise yaml.constructor.ConstructorError(None, None, "aliases and tags are not taken", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                problem = "this key is not text; put it in quotes"
                raise yaml.constructor.ConstructorError(None, None, problem, key_node.start_mark)
            if key in found:
                raise yaml.constructor.ConstructorError(None, None, f"{key}: given more than once", key_node.start_mark)
            found[key] = self.construct_object(value_node, deep=deep)
        return found


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012


for _kind, (_pattern, _first) in PLAIN_VALUES.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(rf"{_pattern}\Z"), _first)


def parse_object(text: str) -> dict[str, Any]:
    """Return the object that `text` holds.

    Raises Django's `ValidationError` on anything else, on duplicate keys, aliases, tags and several documents, and on
    more than `MAX_CHARACTERS`.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValidationError(f"{len(text):,} characters of YAML; at most {MAX_CHARACTERS:,} are taken; use JSON.")
    try:
        value = yaml.load(text, _Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ValidationError(f"Not valid YAML: {located(error)}") from None
    except yaml.reader.ReaderError as error:
        raise ValidationError(f"Not valid YAML: character {error.position + 1:,}: {error.reason}") from None
    except RecursionError:
        raise ValidationError("Nested too deeply; settings are at most lists of values.") from None
    except ValueError as error:
        raise ValidationError(f"Not valid YAML: {error}") from None
    if not isinstance(value, dict):
        raise ValidationError("Must be an object with the settings.")
    return value


def located(error: yaml.MarkedYAMLError) -> str:
    """Return the problem after its place, with the place where the unfinished part of the text begins."""
    context = f"{error.context} from {place(error.context_mark)}: " if error.context and error.context_mark else ""
    return f"{place(error.problem_mark)}: {context}{error.problem}"


def place(mark: yaml.Mark | None) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the text"


def written(value: Any) -> str:
    """Return a value of JSON as YAML."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
