"""What is tried, what came of it with nanobot 0.3.5 and with TrayClaw, and why the difference is meant.

`look` names the outcome in a word or two. `nanobot` is what was measured; `trayclaw` what must come out. Where the two
differ, `why` says which improvement that is; without it both must give the same.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.differential.contenders import PLANTED, Heard

Calls = list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Stage:
    """Where a case plays: the workspace, what lies beside it, and a listener of this computer."""

    folder: Path
    port: int
    visits: Callable[[], int]

    @property
    def beside(self) -> Path:
        return self.folder.parent


@dataclass(frozen=True)
class Case:
    kind: str
    name: str
    calls: Callable[[Stage], Calls]
    look: Callable[[Stage, Heard], str]
    nanobot: str
    trayclaw: str
    why: str = ""
    prepare: Callable[[Stage], None] = lambda stage: None

    @property
    def allowed(self) -> bool:
        """Whether the person who is asked says yes: to honest edits; nobody is there for the rest."""
        return "edit" in self.name


def put(name: str, data: str | bytes, mode: int = 0o644) -> Callable[[Stage], None]:
    def prepare(stage: Stage) -> None:
        path = stage.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(mode)

    return prepare


def call(name: str, **arguments: Any) -> Callable[[Stage], Calls]:
    def calls(stage: Stage) -> Calls:
        marks = {"beside": stage.beside, "folder": stage.folder, "port": stage.port}

        def filled(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            for mark, real in marks.items():
                value = value.replace(f"<{mark}>", str(real))
            return value

        return [(name, {key: filled(value) for key, value in arguments.items()})]

    return calls


def after_reading(name: str, calls: Callable[[Stage], Calls]) -> Callable[[Stage], Calls]:
    return lambda stage: [("read", {"path": name}), *calls(stage)]


def content(name: str, expected: bytes, words: str) -> Callable[[Stage, Heard], str]:
    return lambda stage, heard: words if (stage.folder / name).read_bytes() == expected else "changed otherwise"


def unchanged(name: str, before: bytes) -> Callable[[Stage, Heard], str]:
    return lambda stage, heard: "refused" if (stage.folder / name).read_bytes() == before else "changed"


def said(word: str, yes: str, no: str) -> Callable[[Stage, Heard], str]:
    return lambda stage, heard: yes if any(word in text for text in heard.results) else no


def secret_seen(stage: Stage, heard: Heard) -> str:
    if any("OUTSIDE" in text for text in heard.results):
        return "read"
    return "asked" if heard.asked else "refused"


def secret_beside(stage: Stage) -> None:
    for name in ("workspace2/secret.txt", "secret.txt", "victim/a.txt", "victim/b/c.txt"):
        path = stage.beside / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("OUTSIDE")
    link = stage.folder / "link"
    if not link.is_symlink():
        link.symlink_to(stage.beside / "workspace2")


def victim(stage: Stage, heard: Heard) -> str:
    there = all((stage.beside / name).exists() for name in ("victim/a.txt", "victim/b/c.txt"))
    if not there:
        return "deleted"
    return "asked" if heard.asked else "not touched"


def made(name: str) -> Callable[[Stage, Heard], str]:
    def look(stage: Stage, heard: Heard) -> str:
        path = stage.folder / name
        if path.exists():
            return "ran"
        return "asked" if heard.asked else "did not run"

    return look


def outside_made(stage: Stage, heard: Heard) -> str:
    if (stage.beside / "y").exists():
        return "written outside"
    return "asked" if heard.asked else "not touched"


def environment(stage: Stage, heard: Heard) -> str:
    text = "\n".join(heard.results)
    if "HOME=" not in text:
        return "refused"
    return "key seen" if PLANTED in text else "no key"


def reached(stage: Stage, heard: Heard) -> str:
    return "connected" if stage.visits() else "asked" if heard.asked else "blocked"


def grandchild(stage: Stage, heard: Heard) -> str:
    import time

    mark = stage.folder / "late.txt"
    ends = time.monotonic() + 6
    while time.monotonic() < ends:
        if mark.exists():
            return "grandchild lives on"
        time.sleep(0.1)
    return "all ended"


def output_size(stage: Stage, heard: Heard) -> str:
    text = heard.results[-1]
    ends = ("START-MARK" in text, "END-MARK" in text)
    size = "at most 31,000" if len(text) <= 31_000 else f"{len(text):,}"
    return f"{size}, {'both ends' if all(ends) else 'the head' if ends[0] else 'the tail'}"


def lines_named(stage: Stage, heard: Heard) -> str:
    text = heard.results[-1]
    if (stage.folder / "a.txt").read_text() != TWICE:
        return "changed"
    return "refused, lines named" if "1" in text and "3" in text else "refused"


def mode_kept(stage: Stage, heard: Heard) -> str:
    path = stage.folder / "run.sh"
    done = b"two" in path.read_bytes()
    return f"{'edited' if done else 'not edited'}, {stat.S_IMODE(path.stat().st_mode):o}"


TWICE = "same\nother\nsame\n"
DECIMAL = int.from_bytes(bytes((127, 0, 0, 1)), "big")
SLIPS = "a person sees a command before it leaves the fence; inside of it nothing outside exists"
ASKS = "reading beyond the workspace is a question, not a refusal"
FENCED = "the command ran behind the fence, in the workspace only"

CASES = [
    # --- files
    Case(
        "file",
        "a sibling folder <workspace>2",
        call("read", path="<beside>/workspace2/secret.txt"),
        secret_seen,
        "refused",
        "asked",
        ASKS,
        secret_beside,
    ),
    Case(
        "file",
        "a path with ..",
        call("read", path="../secret.txt"),
        secret_seen,
        "refused",
        "asked",
        ASKS,
        secret_beside,
    ),
    Case(
        "file",
        "a link out of the workspace",
        call("read", path="link/secret.txt"),
        secret_seen,
        "refused",
        "asked",
        ASKS,
        secret_beside,
    ),
    Case(
        "file",
        "writing through a link",
        call("write", path="link/new.txt", content="x"),
        lambda stage, heard: (
            "written outside"
            if (stage.beside / "workspace2/new.txt").exists()
            else "asked"
            if heard.asked
            else "refused"
        ),
        "refused",
        "asked",
        "writing beyond the workspace is a question, not a refusal",
        secret_beside,
    ),
    Case(
        "file",
        "editing keeps CRLF",
        after_reading("a.txt", call("edit", path="a.txt", old_text="two", new_text="2")),
        content("a.txt", b"one\r\n2\r\nthree\r\n", "kept"),
        "kept",
        "kept",
        prepare=put("a.txt", "one\r\ntwo\r\nthree\r\n"),
    ),
    Case(
        "file",
        "editing with LF in a CRLF file",
        after_reading("a.txt", call("edit", path="a.txt", old_text="one\ntwo", new_text="1\n2")),
        content("a.txt", b"1\r\n2\r\nthree\r\n", "kept"),
        "kept",
        "kept",
        prepare=put("a.txt", "one\r\ntwo\r\nthree\r\n"),
    ),
    Case(
        "file",
        "editing one line of mixed ends",
        after_reading("a.txt", call("edit", path="a.txt", old_text="three", new_text="3")),
        content("a.txt", b"one\r\ntwo\n3\n", "kept"),
        "changed otherwise",
        "kept",
        "only the passage changes, mixed line ends stay",
        put("a.txt", "one\r\ntwo\nthree\n"),
    ),
    Case(
        "file",
        "editing keeps a byte order mark",
        after_reading("a.txt", call("edit", path="a.txt", old_text="two", new_text="2")),
        content("a.txt", b"\xef\xbb\xbfone\n2\n", "kept"),
        "kept",
        "kept",
        prepare=put("a.txt", b"\xef\xbb\xbfone\ntwo\n"),
    ),
    Case(
        "file",
        "editing keeps the mode",
        after_reading("run.sh", call("edit", path="run.sh", old_text="one", new_text="two")),
        mode_kept,
        "edited, 755",
        "edited, 755",
        prepare=put("run.sh", "one\n", 0o755),
    ),
    Case(
        "file",
        "an edit that fits twice",
        after_reading("a.txt", call("edit", path="a.txt", old_text="same", new_text="x")),
        lines_named,
        "refused, lines named",
        "refused, lines named",
        prepare=put("a.txt", TWICE),
    ),
    Case(
        "file",
        "an edit that fits nowhere",
        after_reading("a.txt", call("edit", path="a.txt", old_text="sane", new_text="x")),
        unchanged("a.txt", TWICE.encode()),
        "refused",
        "refused",
        prepare=put("a.txt", TWICE),
    ),
    Case(
        "file",
        "an edit with other quotes",
        after_reading("a.txt", call("edit", path="a.txt", old_text='say "hi"', new_text='say "ho"')),
        lambda stage, heard: "edited" if "ho" in (stage.folder / "a.txt").read_text() else "refused",
        "edited",
        "edited",
        prepare=put("a.txt", "say “hi”\n"),
    ),
    Case(
        "file",
        "an edit with other indentation",
        after_reading("a.py", call("edit", path="a.py", old_text="a = 1\nb = 2", new_text="a = 1\nb = 3")),
        content("a.py", b"def f():\n    a = 1\n    b = 3\n", "edited, indented"),
        "edited, indented",
        "edited, indented",
        prepare=put("a.py", "def f():\n    a = 1\n    b = 2\n"),
    ),
    Case(
        "file",
        "a file of 100,000 lines",
        call("read", path="big.txt"),
        lambda stage, heard: (
            "a part, and how to go on"
            if len(heard.results[-1]) < 140_000 and "offset" in heard.results[-1]
            else "all of it"
        ),
        "a part, and how to go on",
        "a part, and how to go on",
        prepare=put("big.txt", "".join(f"line {number}\n" for number in range(100_000))),
    ),
    Case(
        "file",
        "one line of a megabyte",
        call("read", path="long.txt"),
        lambda stage, heard: "cut" if len(heard.results[-1]) < 140_000 else "all of it",
        "cut",
        "cut",
        prepare=put("long.txt", "x" * 1_000_000),
    ),
    Case(
        "file",
        "a file that is not text",
        call("read", path="a.bin"),
        lambda stage, heard: "said so" if "\x00" not in heard.results[-1] else "shown raw",
        "said so",
        "said so",
        prepare=put("a.bin", bytes(range(256)) * 20),
    ),
    Case(
        "file",
        "listing a folder",
        call("list", path="tree", recursive=True),
        lambda stage, heard: "both" if "sub" in heard.results[-1] and "a.txt" in heard.results[-1] else "not all",
        "both",
        "both",
        prepare=put("tree/sub/a.txt", "x"),
    ),
    Case(
        "file",
        "a device",
        call("read", path="/dev/zero"),
        lambda stage, heard: "refused" if len(heard.results[-1]) < 2_000 else "read",
        "refused",
        "refused",
    ),
    # --- shell
    Case(
        "shell",
        "output of 200,000 characters",
        call("shell", command="echo START-MARK; yes | head -c 200000; echo END-MARK"),
        output_size,
        "at most 31,000, both ends",
        "at most 31,000, both ends",
    ),
    Case(
        "shell",
        "a time-out ends grandchildren",
        call("shell", command="(sleep 4; echo x > late.txt) & sleep 30", timeout=2),
        grandchild,
        "all ended",
        "all ended",
    ),
    Case(
        "shell",
        "a grandchild in a session of its own",
        call("shell", command="setsid sh -c 'sleep 4; echo x > late.txt' & sleep 30", timeout=2),
        grandchild,
        "grandchild lives on",
        "all ended",
        "the fence ends what left the process group, too",
    ),
    Case("shell", "keys in the environment", call("shell", command="env"), environment, "no key", "no key"),
    Case(
        "shell",
        "keys in the environment of the agent",
        call("shell", command="s=$(printf '\\57'); tr '\\0' '\\n' < ${s}proc${s}$PPID${s}environ; echo HOME="),
        environment,
        "key seen",
        "no key",
        "the agent's process is not seen from the fence, and keys are wiped from where the system shows them",
    ),
    Case(
        "shell",
        "rm -rfv beside the workspace",
        call("shell", command="rm -rfv <beside>/victim"),
        victim,
        "not touched",
        "not touched",
        prepare=secret_beside,
    ),
    Case(
        "shell",
        "rm -rfv through a variable",
        call("shell", command="d=victim; cd ..; rm -rfv $d"),
        victim,
        "deleted",
        "not touched",
        SLIPS,
        secret_beside,
    ),
    Case(
        "shell",
        "find -delete outside",
        call("shell", command='cd "$(dirname "$PWD")" && find victim -delete'),
        victim,
        "deleted",
        "not touched",
        SLIPS,
        secret_beside,
    ),
    Case(
        "shell",
        "base64 | sh",
        call("shell", command="echo dG91Y2ggLi4veQo= | base64 -d | sh"),
        outside_made,
        "written outside",
        "not touched",
        SLIPS,
    ),
    Case(
        "shell",
        "git $(touch y)",
        call("shell", command='git $(touch "$(dirname "$PWD")/y") status'),
        outside_made,
        "written outside",
        "not touched",
        SLIPS,
    ),
    Case(
        "shell",
        "python that deletes outside",
        call("shell", command="python3 -c \"import shutil, os; shutil.rmtree(os.path.join(os.pardir, 'victim'))\""),
        victim,
        "deleted",
        "not touched",
        SLIPS,
        secret_beside,
    ),
    Case(
        "shell",
        "reading beside the workspace",
        call("shell", command='cat "$(dirname "$PWD")/secret.txt"'),
        secret_seen,
        "read",
        "refused",
        SLIPS,
        secret_beside,
    ),
    Case(
        "shell",
        "an honest rm -rf",
        call("shell", command="mkdir d; rm -rf d; touch ok"),
        made("ok"),
        "did not run",
        "ran",
        FENCED,
    ),
    Case("shell", "an honest command", call("shell", command="ls -la && touch ok"), made("ok"), "ran", "ran"),
    Case(
        "shell",
        "a server on this computer",
        call("shell", command="h=127.0.0; exec 3<>/dev/tcp/$h.1/<port> && echo hi >&3"),
        reached,
        "blocked",
        "blocked",
    ),
    # --- web
    *(
        Case("web", name, call("fetch", url=url), reached, "blocked", "blocked")
        for name, url in (
            ("127.0.0.1", "http://127.0.0.1:<port>/"),
            ("localhost", "http://localhost:<port>/"),
            ("a decimal address", f"http://{DECIMAL}:<port>/"),
            ("a hexadecimal address", "http://0x7f000001:<port>/"),
            ("a short address", "http://127.1:<port>/"),
            ("198.18.0.0/15", "http://198.18.0.1:<port>/"),
            ("100.64.0.0/10", "http://100.64.0.1:<port>/"),
            ("metadata", "http://169.254.169.254/latest/meta-data/"),
            ("IPv4 in IPv6", "http://[::ffff:127.0.0.1]:<port>/"),
            ("NAT64", "http://[64:ff9b::7f00:1]:<port>/"),
            ("local NAT64", "http://[64:ff9b:1::7f00:1]:<port>/"),
            ("6to4", "http://[2002:7f00:1::]:<port>/"),
            ("Teredo", "http://[2001:0:7f00:1::80ff:fffe]:<port>/"),
            ("file:", "file:///etc/passwd"),
        )
    ),
    # --- messages
    Case(
        "message",
        "to a chat that never wrote",
        call("message", content="hello", channel="telegram", chat_id="424242"),
        lambda stage, heard: "sent" if _claims_sent(heard) else "not sent",
        "sent",
        "not sent",
        "messages go to known conversations only",
    ),
]


def _claims_sent(heard: Heard) -> bool:
    return "sent" in heard.results[-1].lower() and "error" not in heard.results[-1].lower()


def clean(stage: Stage, keep: frozenset[str]) -> None:
    """Take away what a case left."""
    import shutil

    for folder in (stage.folder, stage.beside):
        for entry in os.scandir(folder):
            if entry.name in keep or entry.path == str(stage.folder):
                continue
            path = Path(entry.path)
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
