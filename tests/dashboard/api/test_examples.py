"""Tests that each example answer of the API's documents has the fields that the OpenAPI schema requires."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard.api.documentation import openapi_schema
from rl_training.core.config import SECTIONS

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"```(\w*)\n(.*?)```\n+([^`]*(?:`[^`]+`[^`]*)*)", re.DOTALL)


def examples() -> Iterator[Any]:
    """Yield each request with its answer, and the text below, which names fields that the example leaves out."""
    for document in (ROOT / "docs/api.md", *sorted((ROOT / "docs/api").glob("*.md"))):
        request = ""
        for language, content, below in BLOCK.findall(document.read_text()):
            if "$API/" in content:
                request = content
            elif language == "json" and request:
                title = f"{document.stem}:{method_of(request)}{url_of(request)}"
                yield pytest.param(request, json.loads(content), below, id=title)
                request = ""


def method_of(request: str) -> str:
    found = re.search(r"-X (\w+)", request)
    return found[1].lower() if found else "post" if " -d " in request else "get"


def url_of(request: str) -> str:
    [path] = set(re.findall(r"\$API(/[^\s\"'?]*)", request))
    return f"/api/v1{path}"


def fields_of(value: Any, schema: dict[str, Any], components: dict[str, Any], at: str = "") -> Iterator[str]:
    """Yield the fields of the value that the schema does not know, and required fields that the value lacks."""
    for part in [schema, *schema.get("allOf", ()), *schema.get("oneOf", ())]:
        if "$ref" in part:
            schema = components[part["$ref"].rsplit("/", 1)[1]]
    if isinstance(value, list):
        for item in value:
            yield from fields_of(item, schema.get("items", {}), components, at)
    elif isinstance(value, dict) and "properties" in schema:
        yield from (at + name for name in value.keys() - schema["properties"].keys())
        yield from (at + name for name in set(schema.get("required", ())) - value.keys())
        for name in value.keys() & schema["properties"].keys():
            yield from fields_of(value[name], schema["properties"][name], components, f"{at}{name}.")


@pytest.mark.parametrize(("request_", "answer", "below"), [*examples()])
def test_example_answer_has_the_fields_of_the_schema(request_, answer, below):
    schema = openapi_schema()
    url = url_of(request_)
    [path] = [path for path in schema["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), url)]
    responses = schema["paths"][path][method_of(request_)]["responses"].values()
    contents = [content["schema"] for response in responses for content in response.get("content", {}).values()]
    left_out = set(re.findall(r"`(\w+)`", below)) if "leaves out" in below else set()
    differences = [set(fields_of(answer, content, schema["components"]["schemas"])) - left_out for content in contents]
    assert set() == min(differences, key=len)


def configs_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each section of a config in the answer."""
    for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
        yield from configs_of(item)
    if isinstance(value, dict):
        yield from ((name, value[name]) for name in SECTIONS if isinstance(value.get(name), dict))


@pytest.mark.parametrize(("request_", "answer", "below"), [*examples()])
def test_configs_of_an_example_answer_have_all_settings(request_, answer, below):
    assert [name for name, config in configs_of(answer) if config.keys() ^ SECTIONS[name].model_fields.keys()] == []
