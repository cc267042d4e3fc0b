"""The fence by Landlock and seccomp, for systems that allow no user namespaces. Linux 5.13 and later.

The rules are made here, before the program is started; between fork and exec only three system calls remain.
Sources: https://docs.kernel.org/userspace-api/landlock.html, seccomp(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from agent.errors import SandboxError
from agent.safety.sandbox import Fence, Launch
from agent.safety.sandbox.bubblewrap import limited, tool_folders
from agent.safety.sandbox.seccomp import ARCHITECTURES, filter_program

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_BENEATH = 1
_EXECUTE, _WRITE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_IOCTL_DEV = 1 << 15
_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_OF_FILES = _EXECUTE | _WRITE | _READ_FILE | (1 << 14) | _IOCTL_DEV
"""Rights that a rule on something that is no folder may have; the last are truncate and device control."""
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_KERNEL_FILES = ("cpuinfo", "meminfo", "stat", "loadavg", "uptime", "version", "filesystems", "sys")
"""Of /proc: nothing that belongs to a process, for the agent's own memory and environment are there as well."""
_SCOPES = 0b11
"""Version 6: no signals to, and no abstract sockets of, processes outside of the fence."""

_NO_NEW_PRIVS, _SECCOMP, _FILTER = 38, 22, 2


class Landlock:
    """Files by Landlock; sockets, tracing and keys by a seccomp filter.

    It cannot make a part of a writable folder read-only, nor end what left the process group: the caller looks after
    both. Nor can it open the network for one host: it knows ports, and any host may listen on that of the gate.
    """

    name = "landlock"
    closes_network = True
    by_host = False

    def __init__(self, home: Path | None = None) -> None:
        self._home = Path(os.path.realpath(home or Path.home()))

    @staticmethod
    def version() -> int:
        """The version of the interface that the kernel offers; 0 for none."""
        if not sys.platform.startswith("linux") or platform.machine() not in ARCHITECTURES:
            return 0
        libc = ctypes.CDLL(None, use_errno=True)
        found: int = libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
        return max(found, 0)

    def launch(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], fence: Fence) -> Launch:
        """The command that runs `argv` behind the fence. Raises `SandboxError`."""
        secret = next((path for path in fence.hidden if _within(path, (*fence.writable, *fence.readable))), None)
        if secret is not None:
            raise SandboxError(
                f"{secret} lies in a folder that commands may reach, and Landlock cannot hide it. Choose another"
                " workspace, or install bubblewrap."
            )
        version = self.version()
        if version < 1:
            raise SandboxError("This system's kernel offers no Landlock.")
        handled = next(rights for since, rights in sorted(_BY_VERSION.items(), reverse=True) if version >= since)
        rules = _create(handled, version)
        try:
            temporary = fence.writable[0] / ".tmp"
            for path in (*_system_folders(self._home), *tool_folders(self._home, environment.get("PATH", ""))):
                _allow(rules, path, _READ & handled)
            for path in fence.readable:
                _allow(rules, path, _READ & handled)
            for path in fence.writable:
                _allow(rules, path, handled)
            for name in _KERNEL_FILES:
                _allow(rules, Path("/proc") / name, _READ & handled)
            for name in _DEVICES:
                _allow(rules, Path("/dev") / name, handled & (_READ | _WRITE | _IOCTL_DEV))
        except BaseException:
            os.close(rules)
            raise
        inside = {**environment, "TMPDIR": str(temporary)}
        temporary.mkdir(exist_ok=True, mode=0o700)
        restrict = _restrictor(rules, network=fence.network)
        return Launch(limited(argv, fence), inside, {"preexec_fn": restrict, "pass_fds": ()}, (rules,))


def _within(path: Path, folders: Iterable[Path]) -> bool:
    return any(path == folder or folder in path.parents for folder in folders)


def _create(handled: int, version: int) -> int:
    attributes = struct.pack("=Q", handled)
    if version >= 6:
        attributes += struct.pack("=QQ", 0, _SCOPES)
    libc = ctypes.CDLL(None, use_errno=True)
    rules: int = libc.syscall(_CREATE, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if rules < 0:
        raise SandboxError(f"Landlock refused: {os.strerror(ctypes.get_errno())}.")
    return rules


def _allow(rules: int, path: Path, rights: int) -> None:
    """Permit these rights on a file or on everything below a folder; what is not there needs none."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _OF_FILES
        attributes = struct.pack("=Qi", rights, handle)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(_ADD, rules, _BENEATH, attributes, ctypes.c_uint32(0)):
            raise SandboxError(f"Landlock refused {path}: {os.strerror(ctypes.get_errno())}.")
    finally:
        os.close(handle)


def _system_folders(home: Path) -> Iterable[Path]:
    """The top of the file system but for homes, and for temporary and running things."""
    left_out = {
        "proc",
        "tmp",
        "run",
        "sys",
        "dev",
        "boot",
        "lost+found",
        "media",
        "mnt",
        "home",
        "root",
        "srv",
        *home.parts[1:2],
    }
    for entry in os.scandir("/"):
        if entry.name not in left_out and not entry.is_symlink():
            yield Path(entry.path)


def _restrictor(rules: int, *, network: bool) -> Callable[[], None]:
    """Called between fork and exec: nothing but system calls whose arguments are ready."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = filter_program(network=network)
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(program, len(program))
    prctl, syscall = libc.prctl, libc.syscall
    zero, one = ctypes.c_ulong(0), ctypes.c_ulong(1)
    mode, where, handle = ctypes.c_ulong(_FILTER), ctypes.c_void_p(ctypes.addressof(holder)), ctypes.c_int(rules)

    def restrict(_keep: object = (buffer, holder)) -> None:
        if prctl(_NO_NEW_PRIVS, one, zero, zero, zero) or syscall(_RESTRICT, handle, ctypes.c_uint32(0)):
            os._exit(126)
        if prctl(_SECCOMP, mode, where, zero, zero):
            os._exit(126)

    return restrict
