"""Finding files, searching text, and patches that change several files or none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agent.tool_desk import ToolDesk


@pytest.fixture
def desk(tmp_path: Path) -> ToolDesk:
    desk = ToolDesk(tmp_path, mode="autonomous")
    for name, text in {"a.py": "import os\nx = 1\n", "sub/b.py": "y = 2\n", "sub/c.md": "# Title\n"}.items():
        path = desk.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return desk


async def test_files_are_found_by_name_and_by_path(desk: ToolDesk) -> None:
    assert set((await desk.call("find_files", pattern="*.py")).text.splitlines()) == {"a.py", "sub/b.py"}
    assert (await desk.call("find_files", pattern="sub/**/*.md")).text == "sub/c.md"
    assert (await desk.call("find_files", pattern="*.py", path="sub")).text == "b.py"
    assert (await desk.call("find_files", pattern="*.rs")).text == "No file matches."


async def test_text_is_found_with_its_lines(desk: ToolDesk) -> None:
    assert (await desk.call("search_text", pattern=r"^\w = \d")).text.splitlines() == [
        "a.py:2: x = 1",
        "sub/b.py:1: y = 2",
    ]
    assert (
        await desk.call("search_text", pattern="TITLE", ignore_case=True, files="*.md")
    ).text == "sub/c.md:1: # Title"
    around = await desk.call("search_text", pattern="x", path="a.py", around=1)
    assert around.text.splitlines() == ["a.py-1- import os", "a.py:2: x = 1"]
    assert "no regular expression" in (await desk.call("search_text", pattern="(")).text


async def test_binary_files_and_links_out_are_passed_over(desk: ToolDesk) -> None:
    (desk.folder / "data.bin").write_bytes(b"x = \0\1\2" * 100)
    (desk.home / "secret.txt").write_text("x = secret")
    (desk.folder / "link.txt").symlink_to(desk.home / "secret.txt")
    (desk.folder / "folder").symlink_to(desk.home)
    result = await desk.call("search_text", pattern="x =")
    assert result.text == "a.py:2: x = 1"


async def test_a_search_whose_time_is_over_says_so(desk: ToolDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.tools.searching.SECONDS", 0.0)
    result = await desk.call("search_text", pattern="x")
    assert "ended after" in result.text


PATCH = """*** Begin Patch
*** Update File: a.py
@@
 import os
-x = 1
+x = 10
*** Add File: new/d.txt
+hello
*** Delete File: sub/c.md
*** Update File: sub/b.py
*** Move to: sub/e.py
@@
-y = 2
+y = 20
*** End Patch
"""


async def test_a_patch_changes_adds_removes_and_moves(desk: ToolDesk) -> None:
    result = await desk.call("apply_patch", patch=PATCH)
    assert result.ok, result.text
    found = {str(path.relative_to(desk.folder)): path.read_text() for path in desk.folder.rglob("*") if path.is_file()}
    assert found == {"a.py": "import os\nx = 10\n", "new/d.txt": "hello\n", "sub/e.py": "y = 20\n"}


async def test_a_unified_diff_works_too(desk: ToolDesk) -> None:
    patch = "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,3 @@\n import os\n+import re\n x = 1\n"
    patch += "--- /dev/null\n+++ b/n.txt\n@@ -0,0 +1 @@\n+n\n"
    assert (await desk.call("apply_patch", patch=patch)).ok
    assert (desk.folder / "a.py").read_text() == "import os\nimport re\nx = 1\n"
    assert (desk.folder / "n.txt").read_text() == "n\n"


@pytest.mark.parametrize(
    ("part", "instead", "words"),
    [
        ("-x = 1", "-x = 7", "a.py, change 1"),
        ("sub/c.md", "sub/zz.md", "no file sub/zz.md"),
        ("new/d.txt", "a.py", "there already"),
        ("*** Begin Patch\n", "", "Begin with"),
    ],
)
async def test_a_patch_that_does_not_fit_changes_nothing(desk: ToolDesk, part: str, instead: str, words: str) -> None:
    before = {path: path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()}
    patch = PATCH.replace(part, instead) if part != "*** Begin Patch\n" else "nothing of the kind"
    result = await desk.call("apply_patch", patch=patch)
    assert not result.ok and words in result.text
    assert {path: path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()} == before


async def test_a_write_that_fails_in_the_middle_is_rolled_back(desk: ToolDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    from agent.tools import textfile

    real, written = textfile.replace, []

    def replace(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(path))
        real(path, data)

    monkeypatch.setattr(textfile, "replace", replace)
    before = {path: path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()}
    result = await desk.call("apply_patch", patch=PATCH)
    assert not result.ok and "No space left" in result.text
    assert {path: path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()} == before


async def test_every_place_of_a_patch_is_decided_upon(desk: ToolDesk) -> None:
    outside = PATCH.replace("new/d.txt", "../outside.txt")
    desk.answers = lambda approval: "deny"
    assert not (await desk.call("apply_patch", patch=outside)).ok
    assert "outside.txt" in desk.questions[0].action and not (desk.home / "outside.txt").exists()
    assert not (await desk.call("apply_patch", patch=PATCH.replace("new/d.txt", ".git/hooks/x"))).ok
    assert len(desk.questions) == 1
