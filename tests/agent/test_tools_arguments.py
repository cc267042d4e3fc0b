"""Tool arguments: what is repaired, what is fitted, what is refused, and in which words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from agent.errors import ToolArgumentsError
from agent.tools.arguments import parse

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "limit": {"type": "integer", "minimum": 1, "maximum": 10},
        "ratio": {"type": "number"},
        "dry": {"type": "boolean"},
        "names": {"type": "array", "items": {"type": "string"}},
        "options": {"type": "object", "properties": {"deep": {"type": "integer"}}},
        "mode": {"enum": ["fast", "slow"]},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    },
    "required": ["path"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"path": "a", "limit": "5"}', {"path": "a", "limit": 5}),
        ('{"path": "a", "limit": 5.0}', {"path": "a", "limit": 5}),
        ('{"path": 7}', {"path": "7"}),
        ('{"path": "a", "ratio": "1e-2"}', {"path": "a", "ratio": 0.01}),
        ('{"path": "a", "dry": "True"}', {"path": "a", "dry": True}),
        ('{"path": "a", "names": "x"}', {"path": "a", "names": ["x"]}),
        ('{"path": "a", "names": "[\\"x\\", 1]"}', {"path": "a", "names": ["x", "1"]}),
        ('{"path": "a", "options": "{\\"deep\\": \\"3\\"}"}', {"path": "a", "options": {"deep": 3}}),
        ('{"path": "a", "limit": null}', {"path": "a"}),
        ('{"path": "a", "maybe": null}', {"path": "a", "maybe": None}),
        ('{"path": "a", "maybe": "4"}', {"path": "a", "maybe": 4}),
        ('{"path": "[1, 2]"}', {"path": "[1, 2]"}),
        ('"{\\"path\\": \\"a\\"}"', {"path": "a"}),
        ('{"path": "line\nbreak"}', {"path": "line\nbreak"}),
        ("{'path': 'a', 'dry': False}", {"path": "a", "dry": False}),
        ('```json\n{"path": "a"}\n```', {"path": "a"}),
        ('{"path": "a",}', {"path": "a"}),
        ('{"path": "a"', {"path": "a"}),
        ('{"path": "a"}{"path": "a"}', {"path": "a"}),
    ],
)
def test_what_the_model_obviously_meant(raw: str, expected: dict[str, Any]) -> None:
    got = parse(raw, SCHEMA)
    assert got == expected
    assert [type(value) for value in got.values()] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("{}", "path is required and missing"),
        ('{"path": null}', "path must be of type string, not null"),
        ('{"path": true}', "path must be of type string, not true"),
        ('{"path": "a", "limit": "many"}', 'limit must be of type integer, not "many"'),
        ('{"path": "a", "limit": true}', "limit must be of type integer"),
        ('{"path": "a", "limit": 11}', "limit must be at most 10, not 11"),
        ('{"path": "a", "ratio": NaN}', "ratio must be of type number"),
        ('{"path": "a", "mode": "medium"}', 'mode must be one of "fast", "slow", not "medium"'),
        ('{"path": "a", "names": [{}]}', r"names\[0\] must be of type string"),
        ('{"path": "a", "maybe": "x"}', 'maybe must be of type integer or null, not "x"'),
        ('{"path": "a", "colour": 1}', "there is no argument colour; there are: path, limit"),
        ('{"path": "a"}{"path": "b"}', "more than one JSON value"),
        ('[{"path": "a"}]', "must be a JSON object, not a list"),
        ("true", "must be a JSON object, not true"),
        ('{"path": "C:\\Users"}', "two backslashes"),
        ('{"path": "\\ud83d"}', "half a character"),
        ('{"path": "rm -rf /tm', "end in the middle"),
        ('{"path": "a", "limit": 1', "end in the middle"),
        ("I will read the file now", "JSON"),
        ("[" * 5000, "nested too deeply|must be a JSON object|not valid JSON"),
        ('{"path": "' + "x" * 200_000 + '" "limit": 1}', "not valid JSON"),
    ],
)
def test_what_is_refused_and_how(raw: str, words: str) -> None:
    with pytest.raises(ToolArgumentsError, match=words) as caught:
        parse(raw, SCHEMA)
    assert len(str(caught.value)) < 700


def test_nothing_given_is_an_empty_object() -> None:
    for raw in ("", "  ", "null", "{}"):
        assert parse(raw, {"type": "object", "properties": {}}) == {}


def test_cut_off_text_is_never_a_call() -> None:
    for raw in ('{"path": "a"}', '{"path": "a', ""):
        with pytest.raises(ToolArgumentsError, match="cut off"):
            parse(raw, SCHEMA, truncated=True)


def test_unusual_schemas_are_checked_in_full() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string", "pattern": "^a"}, "ref": {"$ref": "#/$defs/n"}},
        "$defs": {"n": {"type": "integer"}},
        "patternProperties": {"^x-": {"type": "string"}},
        "additionalProperties": {"type": "integer"},
    }
    assert parse('{"name": "ab", "other": 1}', schema) == {"name": "ab", "other": 1}
    for raw in ('{"name": "b"}', '{"ref": "x"}', '{"other": "x"}', '{"x-a": 1}'):
        with pytest.raises(ToolArgumentsError):
            parse(raw, schema)
    for ref in ("#/nowhere", "http://127.0.0.1:9/schema.json"):
        with pytest.raises(ToolArgumentsError, match="cannot be checked"):
            parse('{"a": 1}', {"type": "object", "properties": {"a": {"$ref": ref}}})


def test_valid_arguments_need_no_heavy_library() -> None:
    code = (
        "import sys\nfrom agent.tools.arguments import parse\n"
        "schema = {'type': 'object', 'properties': {'n': {'type': 'integer'}}, 'required': ['n']}\n"
        "print(parse('{\"n\": \"5\"}', schema), 'jsonschema' in sys.modules, 'json_repair' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "{'n': 5} False False"
