"""System calls that no program behind a fence may make, as a filter for the kernel: seccomp(2)."""

from __future__ import annotations

import platform
import struct
from collections.abc import Mapping

_AF_UNIX = 1
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # the second one: errno EPERM
ARCHITECTURES: Mapping[str, tuple[int, int, tuple[int, ...]]] = {
    # audit architecture, the number of socket(2), and of: ptrace, process_vm_readv, process_vm_writev, keyctl, add_key,
    # request_key, bpf, perf_event_open, userfaultfd, unshare, setns, mount, pidfd_getfd
    "x86_64": (0xC000003E, 41, (101, 310, 311, 250, 248, 249, 321, 298, 323, 272, 308, 165, 438)),
    "aarch64": (0xC00000B7, 198, (117, 270, 271, 219, 217, 218, 280, 241, 282, 97, 268, 40, 438)),
}
_IO_URING = (425, 426, 427)
"""It opens and connects sockets past the filter; the same numbers on every architecture."""


def filter_program(*, network: bool, machine: str = "", sockets_only: bool = False) -> bytes:
    """Classic BPF: refuse what reaches out of the fence, allow the rest, end programs of another architecture.

    `sockets_only`: for a fence that has namespaces for all the rest."""
    architecture, socket, refused = ARCHITECTURES[machine or platform.machine()]
    lines = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    if architecture == 0xC000003E:  # the x32 calls have numbers of their own
        lines += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _REFUSE)]
    for number in (*(() if sockets_only else refused), *_IO_URING):
        lines += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    if network:  # still not to local sockets: behind them wait the session bus and the keyring
        lines += [(_EQUAL, 0, 3, socket), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, _AF_UNIX), (_RETURN, 0, 0, _REFUSE)]
    else:
        lines += [(_EQUAL, 0, 1, socket), (_RETURN, 0, 0, _REFUSE)]
    lines.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
