"""A door into the network namespace of a fence: a socket that listens inside and is answered outside.

Linux makes a socket in the namespace of the process that asks for it and leaves it there for ever. A short-lived child
of ours enters the namespace, opens the socket and hands it back, so that nothing of ours has to run behind the fence.
Sources: setns(2), ioctl_ns(2), bwrap(1) (--info-fd, --block-fd).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import SandboxError

PORT = 3128
"""Inside of the fence, where nobody else listens."""
_NS_GET_USERNS = 0xB701
_WAITING = 64
_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Doorway:
    """`told` is the end of a pipe on which bubblewrap tells the number of its child, `held` the end of another by which
    the program is held until the door is there."""

    told: int
    held: int

    def listen(self) -> socket.socket:
        """The socket that listens on `PORT` behind the fence; the program still waits. Blocks.

        Raises `SandboxError`."""
        import fcntl  # Windows has none

        try:
            child = self._child()
            net = os.open(f"/proc/{child}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            with contextlib.ExitStack() as close:
                close.callback(os.close, net)
                user = fcntl.ioctl(net, _NS_GET_USERNS)
                close.callback(os.close, user)
                ours, theirs = socket.socketpair()
                close.enter_context(ours)
                close.enter_context(theirs)
                ours.settimeout(_SECONDS)
                foreign = os.fstat(user).st_ino != Path("/proc/self/ns/user").stat().st_ino
                enter = _opener((user, net) if foreign else (net,), theirs)
                done = subprocess.run(
                    (sys.executable, "--version"),  # never reached: the work is done before, and the child ends
                    preexec_fn=enter,
                    pass_fds=(),
                    stdout=subprocess.DEVNULL,
                    timeout=_SECONDS,
                    check=False,
                )
                if done.returncode:
                    raise SandboxError(f"The network of the command could not be opened ({done.returncode}).")
                _, handles, _, _ = socket.recv_fds(ours, 1, 1)
                door = socket.socket(fileno=handles[0])
                door.setblocking(False)
                return door
        except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
            raise SandboxError(f"The network of the command could not be opened: {error}.") from error

    def let_go(self) -> None:
        """The program may begin."""
        os.write(self.held, b"x")

    def close(self) -> None:
        """Our ends of the pipes; a program that still waits is let go as well, so end it before."""
        os.close(self.told)
        os.close(self.held)

    def _child(self) -> int:
        text = b""
        while not text.rstrip().endswith(b"}"):
            piece = os.read(self.told, 4_096)
            if not piece:
                raise ValueError("the fence did not come up")
            text += piece
        return int(json.loads(text)["child-pid"])


def pipes() -> tuple[Doorway, int, int]:
    """A doorway, and the ends for bubblewrap: where it tells, and what it waits for."""
    told, telling = os.pipe()
    waiting, held = os.pipe()
    return Doorway(told, held), telling, waiting


def proxy_environment() -> dict[str, str]:
    """Tells programs inside where the door is."""
    address = f"http://127.0.0.1:{PORT}"
    names = ("http_proxy", "https_proxy", "all_proxy")
    found = {form: address for name in names for form in (name, name.upper())}
    return {**found, "no_proxy": "", "NO_PROXY": ""}


def _opener(namespaces: tuple[int, ...], to: socket.socket) -> Callable[[], None]:
    """Called between fork and exec, and ends the child: system calls on what is ready."""
    libc = ctypes.CDLL(None, use_errno=True)
    setns, leave, family, kind = libc.setns, os._exit, socket.AF_INET, socket.SOCK_STREAM
    send, make = socket.send_fds, socket.socket

    def enter() -> None:
        for handle in namespaces:
            if setns(handle, 0):
                leave(11)
        door = make(family, kind)
        door.bind(("0.0.0.0", PORT))  # noqa: S104 - of a network that has only its own loopback, which may not be up yet
        door.listen(_WAITING)
        send(to, [b"x"], [door.fileno()])
        leave(0)

    return enter
