"""Skills as they lie in folders: front matter as people write it and as attackers do; what is hashed and read once."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SkillError
from agent.skills import front_matter
from agent.skills import skill as skills
from agent.skills.front_matter import parse, split
from agent.skills.requirements import lacking
from agent.skills.shipped import SHIPPED
from agent.skills.skill import Shelf, Skill
from agent.storage import pins
from tests.agent import skills_table

SIMPLE = "---\nname: notes\ndescription: Keep notes.\n---\n\n# Notes\n\nWrite them down.\n"


def put(root: Path, name: str, text: str = SIMPLE, place: str = "skills") -> Path:
    folder = root / place / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_bytes(text.encode())
    return folder


def only(root: Path) -> Skill:
    [found] = [one for one in Shelf().scan(root) if not one.shipped]
    return found


# --- front matter ---------------------------------------------------------------------------------------------------
def test_all_fields_of_the_specification() -> None:
    head = parse(
        "---\nname: pdf-forms\ndescription: >\n  Fill forms\n  in PDF files.\nlicense: Apache-2.0\n"
        "compatibility: Requires pdftk\nmetadata:\n  author: somebody\n  version: '1.0'\n"
        "allowed-tools: Bash(git:*) Read\n---\nText"
    )
    assert (head.name, head.description, head.license) == ("pdf-forms", "Fill forms in PDF files.", "Apache-2.0")
    assert head.compatibility == "Requires pdftk" and head.allowed_tools == ("Bash(git:*)", "Read")
    assert parse("---\ndescription: x\nallowed-tools:\n  - Read\n  - Write\n---").allowed_tools == ("Read", "Write")


METADATA = [
    'metadata: {"nanobot":{"emoji":"x","os":["darwin","linux"],"requires":{"bins":["no-such-program"]},"always":true}}',
    'metadata: \'{"nanobot":{"os":["darwin","linux"],"requires":{"bins":["no-such-program"]},"always":true}}\'',
    'metadata:\n  {\n    "openclaw":\n      {\n        "os": ["darwin", "linux",],\n        "requires": { "bins": '
    '["no-such-program"], },\n        "always": true,\n      },\n  }',
    "metadata:\n  clawdbot:\n    os: [darwin, linux]\n    always: true\n    requires:\n      bins:\n"
    "        - no-such-program",
]


@pytest.mark.parametrize("metadata", METADATA)
def test_what_openclaw_and_nanobot_add(metadata: str) -> None:
    head = parse(f"---\nname: x\ndescription: y\n{metadata}\n---\n")
    assert head.programs == ("no-such-program",) and head.systems == ("darwin", "linux") and head.always


@pytest.mark.parametrize(
    "metadata",
    [
        *("text", "'{bad'", "", "[1]", "{openclaw: 1}", "{openclaw: {requires: null, os: {}}}"),
        "{openclaw: {requires: {bins: 5, env: [1, '', x]}}}",
    ],
)
def test_metadata_of_another_shape_is_no_reason_to_refuse(metadata: str) -> None:
    head = parse(f"---\ndescription: y\nmetadata: {metadata}\n---\n")
    assert head.programs == () and head.systems == () and not head.always


def test_a_mark_other_line_ends_and_blank_lines_before() -> None:
    text = "\ufeff\n---\nname: notes\ndescription: Keep notes.\n---\n\nText\n"
    for written in (text, text.replace("\n", "\r\n")):
        assert parse(written).description == "Keep notes." and split(written)[1] == "Text"
    assert split("---\ndescription: x\n---")[1] == ""
    assert split("---\ndescription: x\n--- \nA\n\n---\nB\n")[1] == "A\n\n---\nB"


def test_a_colon_in_a_sentence_is_understood_as_people_mean_it() -> None:
    head = parse('---\nname: ci\ndescription: Use this: when a build fails, say why\nmetadata: {"nanobot": {}}\n---\n')
    assert head.description == "Use this: when a build fails, say why" and head.name == "ci"


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
)
WRONG = [
    ("# Notes\n", "does not begin with front matter"),
    ("", "does not begin with front matter"),
    ("---\nname: x\ndescription: y\n", "does not begin with front matter"),
    ("---\nname: x\n---\n", "no description"),
    ("---\nname: x\ndescription: ''\n---\n", "no description"),
    ("---\nname: x\ndescription: [a, b]\n---\n", "no description"),
    ("---\n---\n", "no list of fields"),
    ("---\ndescription: x\x1b[2J\n---\n", "control characters"),
    ("---\n- a\n- b\n---\n", "no list of fields"),
    ("---\nname: [x\n---\n", r"not valid YAML \(line \d"),
    ("---\nwhen: 2026-99-99\n---\n", "not valid YAML"),
    ("---\ndescription: x\nname: a\nname: b\n---\n", "'name' twice"),
    ("---\ndescription: x\nmetadata: {openclaw: {os: [linux], os: [darwin]}}\n---\n", "'os' twice"),
    (f"---\ndescription: x\n{LAUGHS}---\n", "references"),
    ("---\nbase: &b {x: 1}\ndescription: y\n---\n", "references"),
    ("---\ndescription: x\ndeep: " + "[" * 500 + "]" * 500 + "\n---\n", "nested too deeply"),
    ("---\ndescription: " + "x" * 17_000 + "\n---\n", "more than 16,000"),
]


@pytest.mark.parametrize(("text", "why"), WRONG)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    began = time.monotonic()
    with pytest.raises(SkillError, match=why):
        parse(text)
    assert time.monotonic() - began < 5, "it grew"


def test_a_type_that_would_run_something_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SkillError, match="types"):
        parse(f"---\ndescription: !!python/object/apply:os.mkdir [{tmp_path / 'made'}]\n---\n")
    assert not (tmp_path / "made").exists()


PIECES = ["description: x\n", *"a:-[]{}'\"|>?=#%é@`! \n\t\u2028\ud800\0", "!!timestamp ", "&a ", "*a", "<<: ", "---\n"]
PIECES += ["...\n", "- ", "{[]: 1}", "0x_", "1e9", "2026-13-40", "metadata: ", r'"\ud800"']


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_whatever_is_written_there_it_is_understood_or_refused(text: str) -> None:
    with contextlib.suppress(SkillError):
        head = parse(f"---\n{text}\n---\n")
        assert head.description.encode()
        lacking(head, {"PATH": "/bin"})


def test_halves_of_characters_are_not_passed_on() -> None:
    head = parse('---\ndescription: "a \\ud800 b"\nmetadata: {openclaw: {requires: {bins: ["\\udfff"]}}}\n---\n')
    assert head.description == "a ? b" and lacking(head, {"PATH": "/bin"}) == ("program ?",)


def test_long_descriptions_are_cut_and_other_kinds_of_names_are_text() -> None:
    head = parse(f"---\nname: 2026\ndescription: {'long ' * 600}\n---\n")
    assert len(head.description) == 1024 and head.name == "2026"


# --- requirements ---------------------------------------------------------------------------------------------------
def test_programs_systems_and_variables_that_are_not_here(tmp_path: Path) -> None:
    def missing(block: str, **environment: str) -> tuple[str, ...]:
        return lacking(parse(f"---\ndescription: x\nmetadata: {{openclaw: {block}}}\n---\n"), environment)

    program = tmp_path / "sometool"
    program.write_text("#!/bin/sh\n")
    assert missing("{requires: {bins: [sometool, other]}}", PATH=str(tmp_path)) == (
        "program sometool",
        "program other",
    )
    program.chmod(0o755)
    assert missing("{requires: {bins: [sometool, other]}}", PATH=str(tmp_path)) == ("program other",)
    assert missing("{requires: {anyBins: [other, sometool]}}", PATH=str(tmp_path)) == ()
    assert missing("{requires: {anyBins: [other, more]}}", PATH=str(tmp_path)) == ("one of the programs other, more",)
    assert missing("{requires: {env: [SOME_KEY]}}", PATH="/") == ("variable SOME_KEY",)
    assert missing("{requires: {env: [SOME_KEY]}}", SOME_KEY="x") == ()
    assert missing("{requires: {config: [browser.enabled]}}") == ("setting browser.enabled",)
    assert missing("{always: true, requires: {bins: [other]}}") == ()
    assert missing(f"{{os: [{sys.platform}]}}") == ()
    assert missing("{always: true, os: [plan9]}") == ("another system (plan9)",)


# --- folders --------------------------------------------------------------------------------------------------------
def test_both_places_and_those_that_came_along(tmp_path: Path) -> None:
    put(tmp_path, "notes")
    put(tmp_path, "other", place=".agents/skills")
    put(tmp_path, "notes", SIMPLE.replace("Keep", "Lose"), place=".agents/skills")
    put(tmp_path, "weather")
    (tmp_path / "skills" / "no-skill").mkdir()
    (tmp_path / "skills" / "README.md").write_text("x")
    found = {one.name: one for one in Shelf().scan(tmp_path)}
    assert found["notes"].description == "Keep notes.", "skills/ counts before .agents/skills/"
    assert found["other"].shown == ".agents/skills/other"
    assert not found["weather"].shipped, "the workspace's own takes the place"
    assert set(found) == {*SHIPPED, "notes", "other"} and found["github"].genuine


@pytest.mark.parametrize("name", ["g\u0456thub", "Ｗeather", "a b", "-x", "x" * 65, "caf\u00e9", "a\u202eb", "\udcff"])
def test_names_that_could_be_mistaken_are_not_usable(tmp_path: Path, name: str) -> None:
    try:
        put(tmp_path, name)
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has no such names")
    assert "may hold the letters" in only(tmp_path).problem
    assert only(tmp_path).name.isprintable() and only(tmp_path).name.encode()


@pytest.mark.parametrize("name", ["notes", "Notes_2", "baidu-search-1.1.3"])
def test_names_that_are_in_use_elsewhere(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert only(tmp_path).problem == "" and only(tmp_path).name == name


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    put(tmp_path, "Notes")
    try:
        put(tmp_path, "notes")
    except FileExistsError:
        pytest.skip("this file system knows one case only")
    problems = [one.problem for one in Shelf().scan(tmp_path) if not one.shipped]
    assert sorted(map(bool, problems)) == [False, True]


@pytest.mark.skipif(os.name != "posix", reason="needs symlinks")
def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("top secret")
    root = tmp_path / "workspace"
    folder = put(root, "notes")
    (folder / "inside.txt").symlink_to("SKILL.md")
    (folder / "outside.txt").symlink_to(secret)
    (folder / "folder").symlink_to(tmp_path)
    skill, contents = skills.read(only(root))
    assert list(contents) == ["SKILL.md"]
    assert {file.path for file in skill.files if file.target} == {"inside.txt", "outside.txt", "folder"}
    digest = skill.digest
    (folder / "outside.txt").unlink()
    (folder / "outside.txt").symlink_to("/etc/hostname")
    assert only(root).digest != digest, "where a link leads counts"
    (folder / "SKILL.md").rename(tmp_path / "elsewhere.md")
    (folder / "SKILL.md").symlink_to(tmp_path / "elsewhere.md")
    assert "is a link" in only(root).problem
    other = put(tmp_path / "far", "linked")
    (root / "skills" / "linked").symlink_to(other)
    assert [one.problem for one in Shelf().scan(root) if one.name == "linked"] == [
        "its folder is a link; put a copy there instead"
    ]
    far = tmp_path / "third"
    far.mkdir()
    (far / "skills").symlink_to(tmp_path / "far" / "skills")
    assert all(one.shipped for one in Shelf().scan(far)), "nor is the place itself followed"


def test_every_file_counts_and_what_comes_and_goes_does_not(tmp_path: Path) -> None:
    folder = put(tmp_path, "notes")
    script = folder / "scripts" / "run.py"
    script.parent.mkdir()
    script.write_text("print(1)\n")
    seen = {only(tmp_path).digest}

    def changed() -> bool:
        digest = only(tmp_path).digest
        return digest not in seen and not seen.add(digest)  # type: ignore[func-returns-value]

    assert not changed()
    for noise in (".git/config", "scripts/__pycache__/run.pyc", ".DS_Store"):
        (folder / noise).parent.mkdir(exist_ok=True)
        (folder / noise).write_text("x")
    assert not changed()
    script.write_text("print(2)\n")
    assert changed()
    if os.name == "posix":
        script.chmod(0o755)
        assert changed()
    script.rename(folder / "scripts" / "other.py")
    assert changed()
    (folder / ".hidden").write_text("x")
    assert changed()


@pytest.mark.skipif(os.name != "posix", reason="needs a pipe")
def test_what_is_too_large_or_no_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path, "notes")
    os.mkfifo(folder / "pipe")
    assert "no ordinary file" in only(tmp_path).problem
    (folder / "pipe").unlink()
    deep = folder.joinpath(*["d"] * 10)
    deep.mkdir(parents=True)
    assert "nested" in only(tmp_path).problem
    for path in [deep, *deep.parents][:10]:
        path.rmdir()
    for number in range(501):
        (folder / f"{number}.txt").touch()
    assert "more than 500 files" in only(tmp_path).problem
    for number in range(501):
        (folder / f"{number}.txt").unlink()
    with (folder / "big").open("wb") as file:
        file.truncate(20_000_001)
    assert "20,000,000 bytes" in only(tmp_path).problem
    (folder / "big").unlink()
    (folder / "SKILL.md").write_text(SIMPLE + "x" * 100_000)
    assert "100,000" in only(tmp_path).problem
    (folder / "SKILL.md").write_bytes(b"---\ndescription: \xff\n---\n")
    assert "not UTF-8" in only(tmp_path).problem
    (folder / "SKILL.md").write_text(SIMPLE)
    assert only(tmp_path).problem == ""


def test_a_skill_is_read_once_and_again_when_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = put(tmp_path, "notes")
    (folder / "more.txt").write_text("1")
    parsed: list[str] = []
    real = front_matter.parse
    monkeypatch.setattr(front_matter, "parse", lambda text: (parsed.append(text), real(text))[1])
    shelf = Shelf()
    first = shelf.scan(tmp_path)
    for _ in range(5):
        assert shelf.scan(tmp_path) == first
    assert len(parsed) == 1
    times = (folder / "SKILL.md").stat()
    (folder / "SKILL.md").write_text(SIMPLE.replace("Keep", "Lose"))  # as long as before
    os.utime(folder / "SKILL.md", ns=(times.st_atime_ns, times.st_mtime_ns))  # and said to be as old
    assert [one.description for one in shelf.scan(tmp_path) if one.name == "notes"] == ["Lose notes."]
    (folder / "more.txt").write_text("22")
    assert shelf.scan(tmp_path) != first and len(parsed) == 3


def test_an_acceptance_is_filed_under_a_name_that_begins_no_other(tmp_path: Path) -> None:
    put(tmp_path, "note")
    put(tmp_path, "note-book")
    names = [one.pin_name for one in Shelf().scan(tmp_path) if not one.shipped]
    assert names == ["skills/note/", "skills/note-book/"]
    assert not names[1].startswith(names[0]) and pins.Pin(names[0], "", "").name == "skills/note/"


def test_the_skills_that_come_along_are_as_they_were_written_down() -> None:
    found = skills_table.found()
    told = "run: python -m tests.agent.skills_table"
    assert {one.name: one.digest for one in found} == {name: entry.digest for name, entry in SHIPPED.items()}, told
    for one in found:
        assert one.problem == "" and one.genuine and one.head == SHIPPED[one.name].head, told
        assert one.head.name == one.name and len(one.description) <= 110
        assert [file.path for file in one.files] == ["SKILL.md"], "members of a group get those without programs only"
