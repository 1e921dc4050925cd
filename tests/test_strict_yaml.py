"""YAML of settings: only the values of JSON are read; values that look like another type are refused."""

import pytest
from django.core.exceptions import ValidationError

from rl_training import strict_yaml

VALUES = {
    "a": [1, -0.5, 1e-05, 1e300, True, None, {"b": []}],
    "c": ["1e3", "true", "null", "", "7", "~", "no", "ä\n: #"],
}


def test_written_values_are_read_as_they_were():
    assert strict_yaml.parse_object(strict_yaml.written(VALUES)) == VALUES


def test_plain_values_are_those_of_json_alone():
    text = "a: 1e-3\nb: yes\nc: 2026-01-01\nd: 010\ne: .inf\nf: 0x1f\ng:\nh: 1:30"
    assert strict_yaml.parse_object(text) == {
        "a": 0.001,
        "b": "yes",
        "c": "2026-01-01",
        "d": "010",
        "e": ".inf",
        "f": "0x1f",
        "g": None,
        "h": "1:30",
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "Not valid YAML: line 2, column 1: a: given more than once"),
        ("a: {b: 1, b: 2}", "b: given more than once"),
        ("a: &x [1]\nb: *x", "aliases and tags are not taken"),
        ("a: !!python/name:os.system", "aliases and tags are not taken"),
        ("a: !!set {b}", "aliases and tags are not taken"),
        ("a: {<<: {b: 1}, 1: 2}", "line 1, column 17: this key is not text; put it in quotes"),
        ("a: 1\n---\nb: 2", "single document"),
        ("a: 'b", "line 1, column 6: while scanning a quoted scalar from line 1, column 4: found"),
        ("a: \x00", "Not valid YAML: character 4: special characters are not allowed"),
        ("- 1", "Must be an object"),
        ("a: " + "[" * 5000, "Nested too deeply"),
        ("a" * 1_000_001, "at most 1,000,000 are taken"),
        ("a: " + "9" * 5000, "Not valid YAML"),
    ],
)
def test_other_yaml_is_refused(text, message):
    with pytest.raises(ValidationError, match=message):
        strict_yaml.parse_object(text)
