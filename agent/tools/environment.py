"""The environment of programs that tools start: an allow-list, so that no key of ours is ever inherited."""

from __future__ import annotations

import os
from collections.abc import Mapping

# fmt: off
_ALLOWED = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE",
    # Windows
    "SYSTEMROOT", "WINDIR", "SYSTEMDRIVE", "COMSPEC", "PATHEXT", "USERPROFILE", "USERNAME", "HOMEDRIVE",
    "HOMEPATH", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)",
    "PROGRAMW6432", "COMMONPROGRAMFILES", "TEMP", "TMP", "OS", "NUMBER_OF_PROCESSORS",
    "PROCESSOR_ARCHITECTURE", "PSMODULEPATH",
))
# fmt: on
_PROXIES = frozenset(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"))
_FIXED = {"TERM": "dumb", "NO_COLOR": "1", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_TERMINAL_PROMPT": "0"}
"""Programs shall neither paint nor page nor ask."""


def child_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a child process is given.

    Not the session bus and not XDG_RUNTIME_DIR: behind them waits the unlocked keyring. A proxy only if its address
    carries no password.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name.upper() in _ALLOWED or name.startswith("LC_") or (name.upper() in _PROXIES and "@" not in value)
    }
    return {**kept, **_FIXED}
