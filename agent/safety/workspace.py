"""Where a path leads: symlinks resolved, inside the workspace or not, and which places no tool may touch."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agent.errors import ToolError
from agent.safety.sandbox import Fence

# fmt: off
_SECRETS = (
    ".ssh", ".gnupg", ".netrc", "_netrc", ".pgpass", ".git-credentials", ".aws", ".azure", ".kube",
    ".docker/config.json", ".config/gcloud", ".config/gh", ".local/share/keyrings", ".local/share/kwalletd",
    ".password-store", ".mozilla", ".config/google-chrome", ".config/chromium", ".config/BraveSoftware",
    "Library/Keychains", "Library/Cookies", "AppData/Roaming/Microsoft/Credentials",
    "AppData/Local/Microsoft/Credentials", "AppData/Roaming/Microsoft/Protect", "AppData/Local/Google/Chrome",
)
_STARTUP = (
    ".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile", ".zshrc", ".zshenv",
    ".zprofile", ".zlogin", ".zlogout", ".config/fish", ".kshrc", ".cshrc", ".tcshrc", ".xprofile", ".xsession",
    ".xsessionrc", ".xinitrc", ".pam_environment", ".inputrc", ".config/autostart", ".config/systemd",
    ".config/environment.d", ".local/share/systemd", ".config/plasma-workspace", ".local/share/applications",
    ".gitconfig", ".config/git", ".local/bin", "Library/LaunchAgents", "Documents/PowerShell",
    "Documents/WindowsPowerShell", "AppData/Roaming/Microsoft/Windows/Start Menu/Programs/Startup",
)
# fmt: on
_SYSTEM = ("/proc", "/sys", "/dev", "/boot", "/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/sudoers.d")
_SENSITIVE = re.compile(
    r"\.env(\..+)?|.*\.(pem|key|pfx|p12|kdbx|jks|keystore)|id_(rsa|dsa|ecdsa|ed25519)|credentials(\.json)?"
    r"|\.npmrc|\.pypirc",
    re.IGNORECASE,
)
_GIT_RUNS = re.compile(r"(^|/)(\.git|[^/]+\.git)/(hooks(/|$)|config$|modules/.*/(hooks(/|$)|config$))")
_WINDOWS_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?", re.IGNORECASE)


ATTACHMENTS = "attachments"
"""The folder of the workspace that files from messengers are put in: the work of others, as a rule."""
OWN_FOLDER = ".trayclaw"
"""Of the workspace: long outputs that a model reads in parts. Undo and searches leave it alone."""

Access = Literal["workspace", "read", "write", ""]
"""Where a path lies: in the workspace, or in a folder that a person opened for reading or for writing too."""


@dataclass(frozen=True, slots=True)
class Place:
    """A path as a tool call names it, resolved.

    `protected` is the reason why it must not be changed (empty: none), `secret` says that it must not even be read,
    `sensitive` that reading it shows credentials. `shown` is the path for people, `full` all of it with ~ for the home.
    `access` says by which right it is reached: in the workspace, in a folder granted for reading, or for reading and
    writing; empty elsewhere. `inside` is the workspace alone.
    """

    path: Path
    shown: str
    inside: bool
    protected: str = ""
    secret: bool = False
    sensitive: bool = False
    full: str = ""
    access: Access = ""

    def reachable(self, *, write: bool) -> bool:
        """Whether it lies where tools may work: the workspace, or a folder that a person opened to them."""
        return self.inside or self.access == "write" or (self.access == "read" and not write)


class Workspace:
    """The folder that tools work in. `own` are TrayClaw's folders: config, data, cache.

    `folders` are others that the person granted, each with whether it may be written.

    `but` is the default workspace, which no rule of `own` covers: with `TRAYCLAW_HOME` it lies beside the database.
    """

    def __init__(
        self,
        root: Path,
        own: Iterable[Path] = (),
        *,
        but: Path | None = None,
        home: Path | None = None,
        folders: Iterable[tuple[Path, bool]] = (),
    ) -> None:
        self.root = Path(os.path.realpath(root))
        self._home = Path(os.path.realpath(home or Path.home()))
        self.folders = tuple((Path(os.path.realpath(folder)), write) for folder, write in folders)
        self._own_folders = tuple(dict.fromkeys(Path(os.path.realpath(folder)) for folder in own))
        self._own = tuple(_folded(folder) for folder in self._own_folders)
        self._not_own = () if but is None else (_folded(Path(os.path.realpath(but))),)
        self._secret_paths = tuple(self._home / name for name in _SECRETS)
        self._startup_paths = tuple(self._home / name for name in _STARTUP)
        self._secrets = tuple(_folded(self._home / name) for name in _SECRETS)
        self._startup = tuple(_folded(self._home / name) for name in _STARTUP)
        self._system = () if os.name == "nt" else tuple(_folded(Path(name)) for name in _SYSTEM)

    def place(self, text: str) -> Place:
        """Resolve what a model wrote; blocks on the file system. Raises `ToolError` for what is no path here."""
        path = self._absolute(text)
        try:
            path = Path(os.path.realpath(path))
        except (OSError, ValueError) as error:
            raise ToolError(f"{text!r} is not a usable path: {error}.") from error
        inside = path == self.root or self.root in path.parents
        reason, secret = self._protection(path)
        sensitive = bool(_SENSITIVE.fullmatch(path.name))
        access: Access = "workspace" if inside else self._granted(path)
        return Place(path, self._shown(path), inside, reason, secret, sensitive, self._full(path), access)

    def was_sent(self, path: Path) -> bool:
        """Whether a resolved path is a file that came through a messenger."""
        return self.root / ATTACHMENTS in path.parents

    def keeps_back(self, folder: Path) -> Callable[[str], bool]:
        """Which of the entries of a resolved folder a search must leave out: secrets, credentials."""
        folded = _folded(folder)
        near = [one for one in (*self._own, *self._secrets, *self._system) if one.startswith(folded)]

        def kept_back(name: str) -> bool:
            if _SENSITIVE.fullmatch(name):
                return True
            return bool(near) and self._protection(folder / name)[1]

        return kept_back

    def _granted(self, path: Path) -> Access:
        """The innermost granted folder decides; of the same one granted twice, the narrower grant."""
        grants = [
            (len(one.parts), not writable) for one, writable in self.folders if path == one or one in path.parents
        ]
        if not grants:
            return ""
        return "read" if max(grants)[1] else "write"

    def fence(self, *, network: bool = False, gated: bool = False) -> Fence:
        """What programs may touch; blocks on the file system."""
        there = [(folder, write) for folder, write in self.folders if folder.is_dir()]
        writable = (self.root, *(folder for folder, write in there if write))
        readable = tuple(folder for folder, write in there if not write)
        narrower = tuple(one for one in readable if any(folder in one.parents for folder in writable))
        protected = tuple(path for folder in writable for path in run_by_git(folder))
        # A workspace or an opened folder may be the home itself, or a part of it that holds more than documents.
        startup = tuple(
            dict.fromkeys(
                one
                for path in self._startup_paths
                for one in (path, Path(os.path.realpath(path)))  # dotfiles are often links into a folder
                if _below(one, writable)
            )
        )
        secrets = tuple(path for path in self._secret_paths if _below(path, (*writable, *readable)) and path.exists())
        return Fence(
            writable,
            readable,
            (*narrower, *protected, *startup),
            (*self._own_folders, *secrets),
            network,
            gated,
            startup,
        )

    def _absolute(self, text: str) -> Path:
        if not text or "\0" in text:
            raise ToolError("The path is empty." if not text else "A path cannot contain a NUL character.")
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", text) or text.lower().startswith("file:"):
            raise ToolError(f"{text!r} is a URL; give the path of a file.")
        if text.startswith("$") or re.match(r"%[A-Za-z_]\w*%", text):
            raise ToolError(f"{text!r}: variables are not expanded in paths; write the path out.")
        if os.name == "nt":
            _refuse_windows_oddities(text)
        elif re.match(r"[A-Za-z]:[\\/]|\\\\", text):
            raise ToolError(f"{text!r} is a Windows path; this computer has none.")
        if text == "~" or text.startswith(("~/", "~\\")):
            return self._home / text[2:]
        if text.startswith("~"):
            raise ToolError(f"{text!r}: only ~/ is understood; write the path out.")
        return self.root / text

    def _protection(self, path: Path) -> tuple[str, bool]:
        folded = _folded(path)
        if _within(folded, self._own) and not _within(folded, self._not_own):
            return "it belongs to TrayClaw itself", True
        if _within(folded, self._secrets):
            return "it holds keys or passwords", True
        if _within(folded, self._system):
            return "it belongs to the system's devices and internals", True
        if _within(folded, self._startup):
            return "it is run when you sign in or open a terminal", False
        if _GIT_RUNS.search(folded.removesuffix("/")):
            return "git runs what is written there", False
        return "", False

    def _shown(self, path: Path) -> str:
        if path == self.root:
            return "the workspace"
        if self.root in path.parents:
            return path.relative_to(self.root).as_posix()
        return self._full(path)

    def _full(self, path: Path) -> str:
        return "~/" + path.relative_to(self._home).as_posix() if self._home in path.parents else str(path)


_DEEPEST, _MOST_FOLDERS = 5, 5_000
_NO_REPOSITORIES = frozenset(("node_modules", "__pycache__", ".venv", "venv", ".tox", ".cache"))


def run_by_git(folder: Path) -> Iterator[Path]:
    """Hooks and configuration of the git repositories in a folder, as deep as people keep them. Blocks."""
    waiting, seen = [(folder, 0)], 0
    while waiting and seen < _MOST_FOLDERS:
        current, depth = waiting.pop()
        seen += 1
        try:
            with os.scandir(current) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(".git"):
                inside = current / name
                yield from (inside / part for part in ("hooks", "config") if (inside / part).exists())
            elif depth < _DEEPEST and name not in _NO_REPOSITORIES:
                waiting.append((current / name, depth + 1))


def _below(path: Path, folders: Iterable[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _folded(path: Path) -> str:
    """For comparisons that must not miss: macOS and Windows ignore case and Unicode form. Ends with a slash."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold().rstrip("/") + "/"


def _within(folded: str, folders: Iterable[str]) -> bool:
    return any(folded.startswith(folder) for folder in folders)


def _refuse_windows_oddities(text: str) -> None:
    if text.startswith(("\\\\?\\", "\\\\.\\", "//?/", "//./")):
        raise ToolError(f"{text!r} is a device path; give an ordinary path.")
    parts = [unicodedata.normalize("NFKC", part) for part in re.split(r"[\\/]", text)]
    if re.fullmatch(r"[A-Za-z]:", parts[0]):
        parts = parts[1:]
    for part in parts:
        if part in ("", ".", ".."):
            continue
        if _WINDOWS_RESERVED.fullmatch(part.rstrip(" .")) or part != part.rstrip(" .") or ":" in part:
            raise ToolError(f"{part!r} is not a file name that Windows allows.")
