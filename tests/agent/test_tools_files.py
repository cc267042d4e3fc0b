"""Files as the model handles them: read with numbers, written whole, edited exactly, never half, never elsewhere."""

import os
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import EditError
from agent.tools.clip import HeadAndTail, clip
from agent.tools.files import replace_text
from tests.agent.tool_desk import ToolDesk

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX files")


@pytest.fixture
def desk(tmp_path):
    return ToolDesk(tmp_path)


async def test_reading_numbers_the_lines_and_says_how_to_go_on(desk):
    (desk.folder / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    result = await desk.call("read_file", path="a.txt", offset=3, limit=2)
    assert result.text == "3\tline 3\n4\tline 4\n(lines 3-4 of 10; go on with offset=5)"
    assert not desk.questions
    past = await desk.call("read_file", path="a.txt", offset=11)
    assert not past.ok and "10 lines" in past.text


async def test_a_long_file_is_cut_at_a_line_and_can_be_read_on(tmp_path):
    desk = ToolDesk(tmp_path, max_chars=2000)
    (desk.folder / "long.txt").write_text("".join(f"{n} {'x' * 90}\n" for n in range(1, 101)))
    first = await desk.call("read_file", path="long.txt")
    assert len(first.text) <= 2000 and "characters left out" not in first.text
    offset = int(first.text.rsplit("offset=", 1)[1].rstrip(")"))
    second = await desk.call("read_file", path="long.txt", offset=offset)
    assert second.text.startswith(f"{offset}\t{offset} x")


@pytest.mark.parametrize("data", [b"\x7fELF\x00\x01", bytes(range(1, 32)) * 20])
async def test_binary_files_are_refused(desk, data):
    (desk.folder / "x.bin").write_bytes(data)
    result = await desk.call("read_file", path="x.bin")
    assert not result.ok and "binary" in result.text


@posix
async def test_a_pipe_does_not_hang_and_a_folder_is_named(desk):
    os.mkfifo(desk.folder / "fifo")
    assert "not an ordinary file" in (await desk.call("read_file", path="fifo")).text
    assert "list_dir" in (await desk.call("read_file", path=".")).text
    missing = await desk.call("read_file", path="none.txt")
    assert not missing.ok and "No such file" in missing.text


async def test_writing_keeps_the_mode_and_notes_what_was_there(desk):
    path = desk.folder / "run.sh"
    path.write_text("old\n")
    path.chmod(0o750)
    result = await desk.call("write_file", path="run.sh", text="new\n")
    assert result.ok and path.read_text() == "new\n"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert [entry.name for entry in desk.folder.iterdir()] == ["run.sh"]
    effect = desk.effects[0]
    (change,) = effect["detail"]["changes"]
    assert effect["state"] == "done" and (change["before"]["size"], change["after"]["size"]) == (4, 4)
    assert desk.questions[0].title == "Replace a file?" and "new\n" in desk.questions[0].action


async def test_a_new_file_gets_its_folders(desk):
    assert (await desk.call("write_file", path="a/b/c.txt", text="x")).ok
    assert (desk.folder / "a/b/c.txt").read_text() == "x"
    changes = desk.effects[0]["detail"]["changes"]
    assert [change["path"].removeprefix(str(desk.folder)) for change in changes] == ["/a", "/a/b", "/a/b/c.txt"]
    assert {change["before"]["type"] for change in changes} == {"absent"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"\xef\xbb\xbfone\r\ntwo\r\n", b"\xef\xbb\xbfone\r\nTWO\r\nthree\r\n"),
        ("one\ntwo".encode("utf-16-le"), None),
        (b"\xff\xfe" + "one\ntwo\n".encode("utf-16-le"), b"\xff\xfe" + "one\nTWO\nthree\n".encode("utf-16-le")),
        ("caf\xe9 one\ntwo".encode("latin-1"), "caf\xe9 one\nTWO\nthree".encode("latin-1")),
        (b"one\ntwo", b"one\nTWO\nthree"),
    ],
)
async def test_an_edit_keeps_encoding_mark_and_line_ends(desk, before, after):
    path = desk.folder / "a.txt"
    path.write_bytes(before)
    result = await desk.call("edit_file", path="a.txt", old="two", new="TWO\nthree")
    assert result.ok == (after is not None)
    assert path.read_bytes() == (after or before)


async def test_a_failed_edit_leaves_the_file_and_says_where_to_look(desk):
    path = desk.folder / "a.py"
    path.write_text("def one():\n    return 1\n\ndef two():\n    return 1\n")
    before = path.stat().st_mtime_ns
    twice = await desk.call("edit_file", path="a.py", old="return 1", new="return 2")
    assert not twice.ok and "lines 2, 5" in twice.text
    near = await desk.call("edit_file", path="a.py", old="def one():\n    return 3", new="def one(): pass")
    assert not near.ok and "line 2 is '    return 1'" in near.text
    assert path.stat().st_mtime_ns == before
    assert [effect["state"] for effect in desk.effects] == ["failed", "failed"]


async def test_listing_shows_folders_first_and_sizes(desk):
    (desk.folder / "b.txt").write_bytes(b"x" * 1500)
    (desk.folder / "Sub").mkdir()
    (desk.folder / "Sub" / "inner.txt").write_text("")
    assert (await desk.call("list_dir")).text == "Sub/\nb.txt  1.5 kB"
    assert (await desk.call("list_dir", recursive=True)).text == "Sub/\n  inner.txt  0 B\nb.txt  1.5 kB"
    assert "not there" in (await desk.call("list_dir", path="none")).text


@posix
async def test_a_file_swapped_for_a_link_while_the_question_is_open_is_not_written(desk):
    outside = desk.home / "outside.txt"
    outside.write_text("mine")
    target = desk.folder / "a.txt"
    target.write_text("old")

    def swap(approval):
        target.unlink()
        target.symlink_to(outside)
        return "allow"

    desk.answers = swap
    result = await desk.call("write_file", path="a.txt", text="overwritten")
    assert not result.ok and "changed while the question was open" in result.text
    assert outside.read_text() == "mine"


@posix
async def test_a_link_that_appears_after_the_check_is_not_followed(desk):
    """The last moment: the effect was described, then the file became a link."""
    from dataclasses import replace

    secret = desk.home / ".ssh" / "id_rsa"
    secret.parent.mkdir()
    secret.write_text("PRIVATE")
    path = desk.folder / "a.txt"
    path.write_text("fine")
    context = desk.scope.context("c")
    prepared = desk.toolbox.prepare(desk.make("read_file", path="a.txt"), context)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(OSError):
        await prepared.tool.function(replace(context, effect=prepared.effect), path="a.txt")


# --- replace_text ---------------------------------------------------------------------------------------------------
FILES = st.text(alphabet='ab \n\r“"', max_size=30)
PASSAGES = st.text(alphabet='ab \n"', max_size=6)


@given(FILES, PASSAGES, st.text("xy\n", max_size=4))
def test_an_edit_changes_one_place_only_or_nothing(before, old, new):
    try:
        after = replace_text(before, old, new)
    except EditError:
        return
    assert after != before
    same_start = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(before))
    backwards = zip(reversed(before), reversed(after), strict=False)
    same_end = next((n for n, (a, b) in enumerate(backwards) if a != b), len(before))
    touched = len(before) - same_start - same_end
    assert touched <= len(old) + before.count(" ") + before.count("\r")


@given(st.text(max_size=40), st.text(min_size=1, max_size=5), st.text(max_size=5))
def test_an_exact_unique_passage_is_replaced_literally(around, old, new):
    before = f"{around}\x1e{old}\x1e"
    if before.count(old) != 1 or old == new or "\n" in new + old or "\r" in new + old or "\x1e" in old:
        return
    if before.find(old) != before.rfind(old) or "..." in new or "…" in new:
        return
    assert replace_text(before, old, new) == f"{around}\x1e{new}\x1e"


def test_overlapping_places_are_ambiguous():
    with pytest.raises(EditError, match="2 times"):
        replace_text("aaa", "aa", "b")


@given(st.lists(st.text(max_size=30), max_size=20), st.integers(2, 60))
def test_head_and_tail_lose_only_the_middle(pieces, limit):
    whole = "".join(pieces)
    kept = HeadAndTail(limit)
    for piece in pieces:
        kept.add(piece)
    assert kept.text() == clip(whole, limit) or len(whole) <= limit
    if len(whole) <= limit // 2 * 2:
        assert kept.text() == whole
    else:
        half = limit // 2
        assert kept.text().startswith(whole[:half]) and kept.text().endswith(whole[-half:])
        assert f"{len(whole) - 2 * half:,} characters" in kept.text()
