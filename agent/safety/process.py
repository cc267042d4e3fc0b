"""What other processes of the same user may see of this one."""

from __future__ import annotations

import os
import sys

SECRET_PREFIXES = ("TRAYCLAW_KEY_", "TRAYCLAW_PASSPHRASE")


def hide_environment() -> None:
    """Wipe keys that were given by environment variables from where the system shows them (/proc/PID/environ on Linux,
    which a command that a tool runs could read of its parent). `os.environ` keeps them; children inherit them empty.

    Call it once at the start. Without such a variable, and on other systems, it does nothing.
    """
    names = [name for name in os.environ if name.startswith(SECRET_PREFIXES) and os.environ[name]]
    if not names or not sys.platform.startswith("linux"):
        return
    import ctypes

    libc = ctypes.CDLL(None)
    libc.getenv.argtypes, libc.getenv.restype = [ctypes.c_char_p], ctypes.c_void_p
    for name in names:
        place = libc.getenv(os.fsencode(name))
        if place:
            ctypes.memset(place, 0, len(os.fsencode(os.environ[name])))
