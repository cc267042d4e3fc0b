"""Tool arguments as models really write them: `must` rows hold exactly, the others are counted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ToolArgumentsError
from agent.tools.arguments import parse

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "tool_args.jsonl"

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"no corpus at {CORPUS}")


def rows() -> list[dict[str, Any]]:
    if not CORPUS.exists():
        return []
    return [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]


def check(row: dict[str, Any]) -> None:
    schema = row["schema"]
    if schema is not None:
        schema = schema.get("parameters", schema)
    error = row["expected_error"]
    if error:
        # `truncated` only where the provider said so would be too kind: the text alone must be refused as well.
        with pytest.raises(ToolArgumentsError) as caught:
            parse(row["raw_arguments"], schema)
        what, _, name = error.partition(":")
        assert name in str(caught.value)
        if what == "truncated":
            with pytest.raises(ToolArgumentsError, match="cut off"):
                parse(row["raw_arguments"], schema, truncated=True)
        return
    got = parse(row["raw_arguments"], schema)
    assert json.dumps(got, sort_keys=True) == json.dumps(row["expected"], sort_keys=True)


@pytest.mark.parametrize("row", [row for row in rows() if row["strictness"] == "must"], ids=lambda row: row["id"])
def test_must(row: dict[str, Any]) -> None:
    check(row)


def test_score(capsys: pytest.CaptureFixture[str]) -> None:
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    missed = []
    for row in rows():
        total[row["strictness"]] += 1
        try:
            check(row)
            passed[row["strictness"]] += 1
        except (AssertionError, ToolArgumentsError, pytest.fail.Exception):
            missed.append(row["id"])
    with capsys.disabled():
        score = ", ".join(f"{name} {passed[name]}/{total[name]}" for name in total)
        print(f"\ntool_args: {score}; not as expected: {', '.join(missed) or 'none'}")
    assert passed["must"] == total["must"]
    assert passed["should"] >= 0.9 * total["should"]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["id"])
def test_cut_off_text_is_never_a_call(row: dict[str, Any]) -> None:
    with pytest.raises(ToolArgumentsError):
        parse(row["raw_arguments"], {"type": "object"}, truncated=True)
