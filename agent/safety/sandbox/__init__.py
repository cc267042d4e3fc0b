"""The fence around programs that tools start: what the operating system lets them write, read and reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from agent.safety.sandbox.doorway import Doorway


@dataclass(frozen=True, slots=True)
class Fence:
    """What a program may touch. Everything that is not named here is read-only or hidden.

    `writable` are the workspace and the folders that a person granted for writing, `readable` those granted for reading
    only. `protected` lie inside of them and are never written (git hooks, own files). `hidden` are not even seen (the
    home's other content, own data, keyrings). `startup` are those of the protected ones that run at sign-in, also where
    they are not there yet: whoever starts the program puts them back. `network` opens all of it, `gated` only a door to
    a gate of ours. `memory` in bytes, `processes` a number; both for the program as a whole.
    """

    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    protected: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    network: bool = False
    gated: bool = False
    startup: tuple[Path, ...] = ()
    memory: int = 4 << 30
    processes: int = 256


@dataclass(frozen=True, slots=True)
class Launch:
    """How the program is really started. `options` go to the subprocess call (pass_fds, preexec_fn, creationflags),
    `close` are descriptors of ours to close once it runs. With a `door` the program waits until its gate is there."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    close: tuple[int, ...] = ()
    door: Doorway | None = None


class Sandbox(Protocol):
    """One way to fence programs in. `name` is shown to people ("bubblewrap", "landlock").

    `closes_network`: without `Fence.network` a program reaches nobody. `by_host`: `Fence.gated` is understood.
    """

    name: str
    closes_network: bool
    by_host: bool

    def launch(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], fence: Fence) -> Launch:
        """The command that runs `argv` behind the fence. Blocks on the file system; raises `SandboxError`."""
        ...
