"""The fence by bubblewrap (https://github.com/containers/bubblewrap): namespaces of its own for every program."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.safety.sandbox import Fence, Launch, doorway, seccomp

_OWN_HOMES = (".local/bin", ".local/lib", ".local/share/uv", ".local/share/pipx", ".local/pipx", ".gitconfig")
"""What of the home programs need: tools that a person installed for themselves."""
_RESOLVER = ("/run/systemd/resolve", "/run/NetworkManager/resolv.conf", "/run/resolvconf")


class Bubblewrap:
    """New user, mount, process, network and IPC namespaces; the root read-only, the home empty, /tmp and /run private.

    Whatever is started dies with the fence's first process, also what calls setsid.
    """

    name = "bubblewrap"
    closes_network = True
    by_host = True

    def __init__(self, program: str, home: Path | None = None) -> None:
        self._program = program
        self._home = Path(os.path.realpath(home or Path.home()))

    def launch(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], fence: Fence) -> Launch:
        """The command that runs `argv` behind the fence."""
        options = [
            *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
            *("--tmpfs", "/tmp", "--tmpfs", "/var/tmp", "--tmpfs", "/run"),  # noqa: S108 - names inside of the fence
            *("--tmpfs", str(self._home)),
        ]
        if fence.network:
            options.append("--share-net")
            for name in _RESOLVER:
                options += ["--ro-bind-try", name, name]
        for path in (*tool_folders(self._home, environment.get("PATH", "")), *fence.readable):
            options += ["--ro-bind-try", str(path), str(path)]
        for path in fence.hidden:
            if path.is_dir() and path != self._home:
                options += ["--tmpfs", str(path)]
        for path in fence.writable:
            options += ["--bind", str(path), str(path)]
        for path in fence.hidden:  # those that lie inside of what is writable or readable
            if any(folder in path.parents for folder in (*fence.writable, *fence.readable)):
                if path.is_dir():
                    options += ["--tmpfs", str(path)]
                elif path.exists():
                    options += ["--ro-bind", "/dev/null", str(path)]
        for path in fence.protected:
            if os.path.realpath(path) != str(path):
                continue  # nothing is mounted on a link; whoever starts the program looks after it
            options += ["--ro-bind-try", str(path), str(path)]
        inside = {**environment, "TMPDIR": "/tmp"}  # noqa: S108 - as above
        more: dict[str, Any] = {}
        if fence.gated and not fence.network:
            door, telling, waiting = doorway.pipes()
            options += ["--info-fd", str(telling), "--block-fd", str(waiting)]
            more = {"options": {"pass_fds": (telling, waiting)}, "close": (telling, waiting), "door": door}
            inside |= doorway.proxy_environment()
        if fence.network and platform.machine() in seccomp.ARCHITECTURES:
            # Abstract sockets (the display, old session buses) belong to the network that is shared then.
            rules = os.memfd_create("rules")
            os.write(rules, seccomp.filter_program(network=True, sockets_only=True))
            os.lseek(rules, 0, os.SEEK_SET)
            options += ["--seccomp", str(rules)]
            more = {"options": {"pass_fds": (rules,)}, "close": (rules,)}
        options += ["--chdir", str(cwd), "--"]
        return Launch((self._program, *options, *limited(argv, fence)), inside, **more)


def limited(argv: Sequence[str], fence: Fence) -> tuple[str, ...]:
    """The same with limits: on the data of each process rather than on address space, which runtimes such as V8 and the
    JVM reserve by the terabyte, and on the number of processes of the fence's own user."""
    prlimit = shutil.which("prlimit")
    if prlimit is None:
        return tuple(argv)
    return (prlimit, f"--data={fence.memory}", f"--nproc={fence.processes}", "--core=0", *argv)


def tool_folders(home: Path, search_path: str) -> Iterator[Path]:
    """Folders of the home, read-only, that hold programs of the search path (~/.pyenv, ~/.cargo, ...)."""
    yield from (home / name for name in _OWN_HOMES)
    found: set[Path] = set()
    for entry in search_path.split(os.pathsep):
        folder = Path(os.path.realpath(entry)) if entry else home
        if home not in folder.parents:
            continue
        top = home / folder.relative_to(home).parts[0]
        if top.name not in (".local", ".config", ".cache") and top.name.startswith("."):
            found.add(top)
        else:
            found.add(folder)
    yield from sorted(found)
