"""The fence by macOS's Seatbelt (sandbox-exec), with a profile made for each program."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.safety.sandbox import Fence, Launch

PROGRAM = "/usr/bin/sandbox-exec"


class Seatbelt:
    """Everything is denied but reading the system and working in the writable folders."""

    name = "seatbelt"
    closes_network = True
    by_host = False

    def __init__(self, home: Path | None = None) -> None:
        self._home = Path(os.path.realpath(home or Path.home()))

    def launch(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], fence: Fence) -> Launch:
        """The command that runs `argv` behind the fence."""
        temporary = fence.writable[0] / ".tmp"
        temporary.mkdir(exist_ok=True, mode=0o700)
        inside = {**environment, "TMPDIR": str(temporary)}
        return Launch((PROGRAM, "-p", profile(fence, self._home), *argv), inside)


def profile(fence: Fence, home: Path) -> str:
    """The rules in Seatbelt's language; of those that match, the last one counts."""
    lines = [
        "(version 1)",
        "(deny default)",
        "(allow process-fork process-exec signal (target same-sandbox))",
        '(allow sysctl-read mach-lookup (global-name "com.apple.system.opendirectoryd.libinfo"))',
        "(allow file-read*)",
        f"(deny file-read* (subpath {_quoted(home)}))",
        *(f"(allow file-read* (subpath {_quoted(path)}))" for path in (*fence.readable, *fence.writable)),
        *(f"(allow file-write* (subpath {_quoted(path)}))" for path in fence.writable),
        '(allow file-write* (literal "/dev/null") (literal "/dev/zero") (literal "/dev/tty"))',
        *(f"(deny file-read* file-write* (subpath {_quoted(path)}))" for path in fence.hidden if path != home),
        *(f"(deny file-write* (subpath {_quoted(path)}))" for path in fence.protected),
    ]
    if fence.network:
        lines.append("(allow network-outbound (remote ip)) (allow system-socket)")
    return "\n".join(lines)


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
