"""The files that a command names, as they are now: what a person allows is bound to what is in them."""

from __future__ import annotations

import glob
import hashlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from agent.safety.workspace import Workspace

MOST_FILES = 200
MOST_BYTES = 50_000_000
"""Of all files together; beyond it their sizes and times stand for their contents."""
_IMPLIED = {
    "make": ("GNUmakefile", "makefile", "Makefile"),
    "just": ("justfile", "Justfile", ".justfile"),
    "npm": ("package.json",),
    "npx": ("package.json",),
    "pnpm": ("package.json",),
    "yarn": ("package.json",),
    "cargo": ("Cargo.toml", "build.rs"),
    "docker": ("Dockerfile", "docker-compose.yml", "compose.yaml"),
}
"""What programs run that nobody names."""


def command_digest(workspace: Workspace, folder: Path, command: str) -> str:
    """A hash of the files in reach of tools that a command names: scripts, their input, patterns such as `*.sh`, and
    what `make` and its like read. Not of what a script loads in turn. Empty when it names none. Blocks."""
    return contents_digest(_named(workspace, folder, command))


def contents_digest(paths: Iterable[Path]) -> str:
    """A hash of names and contents; of a missing file that it is missing. Empty for no path. Blocks."""
    seen = sorted(set(paths))[:MOST_FILES]
    whole, room = hashlib.sha256(), MOST_BYTES
    for path in seen:
        content, size = _content(path, room)
        room -= size
        whole.update(f"{path}\0{content}\0".encode(errors="surrogatepass"))
    return whole.hexdigest() if seen else ""


def _content(path: Path, room: int) -> tuple[str, int]:
    """What stands for a file's content, and how many bytes were read for it."""
    try:
        if not path.is_file():
            return ("folder" if path.is_dir() else "nothing"), 0
        status = path.stat()
        if status.st_size > room:
            return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}", 0
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), status.st_size
    except OSError as error:
        return f"not readable: {error.errno}", 0


def _named(workspace: Workspace, folder: Path, command: str) -> set[Path]:
    words = list(_words(command))
    folders = [folder]
    for word in words:  # `cd sub && ./x` names sub/x
        folders += [here / word for here in folders[:8] if _is_folder(here / word)][:8]
    found: set[Path] = set()
    for here in dict.fromkeys(folders):
        for word in words:
            for path in _paths(here, word):
                if len(found) < MOST_FILES and _in_reach(workspace, path):
                    found.add(path.resolve())
    return found


def _words(command: str) -> Iterator[str]:
    """All that may be a path: words, what is quoted in them, what follows an equals sign."""
    for line in (command, *re.findall(r"'([^']*)'|\"([^\"]*)\"", command)):
        text = line if isinstance(line, str) else "".join(line)
        try:
            lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&`")
            lexer.whitespace_split, lexer.commenters = True, ""
            words = list(lexer)
        except ValueError:
            words = re.split(r"[\s'\"();<>|&`]+", text)
        for word in words:
            yield word.lstrip("@$({")
            if "=" in word:
                yield word.rpartition("=")[2]


def _paths(folder: Path, word: str) -> Iterator[Path]:
    if not word or "\0" in word or len(word) > 4_000:
        return
    if any(sign in word for sign in "*?["):
        names = glob.iglob(word, root_dir=folder)  # noqa: PTH207 - the pattern may be absolute
        yield from (folder / name for name in itertools.islice(names, MOST_FILES) if _is_file(folder / name))
    for name in (word, f"{word.replace('.', '/')}.py", f"{word}/__main__.py", *_IMPLIED.get(word, ())):
        path = folder / Path(name).expanduser() if name.startswith("~/") else folder / name
        if _is_file(path):
            yield path


def _in_reach(workspace: Workspace, path: Path) -> bool:
    real = path.resolve()
    folders = (workspace.root, *(one for one, _ in workspace.folders))
    return any(one in real.parents for one in folders)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
