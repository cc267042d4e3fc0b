"""A private desktop for one program: an X server, a session bus and a StatusNotifier watcher, so that a tray exists."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.processes import BenchError, memory_mib

WATCHER = "org.kde.StatusNotifierWatcher"
START_SECONDS = 30.0


def tray_memory(command: Sequence[str], environ: Mapping[str, str], cwd: Path, settle: float) -> tuple[float, float]:
    """RSS and PSS in MiB of the tray app, `settle` seconds after its icon is there. Raises `BenchError`."""
    for name in ("Xvfb", "dbus-daemon"):
        if shutil.which(name) is None:
            raise BenchError(f"{name} is not installed")
    with ExitStack() as stack:
        display = _x_server(stack)
        address = _session_bus(stack, environ)
        desktop = {**environ, "DISPLAY": display, "DBUS_SESSION_BUS_ADDRESS": address, "QT_QPA_PLATFORM": "xcb"}
        return asyncio.run(_measure(command, desktop, cwd, address, settle))


async def _measure(
    command: Sequence[str], environ: Mapping[str, str], cwd: Path, address: str, settle: float
) -> tuple[float, float]:
    from dbus_fast.aio import MessageBus

    bus = await MessageBus(bus_address=address).connect()
    watcher = _watcher()  # type: ignore[no-untyped-call]
    bus.export("/StatusNotifierWatcher", watcher)
    await bus.request_name(WATCHER)
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    gone = asyncio.create_task(process.communicate())
    icon = asyncio.create_task(watcher.registered.wait())
    try:
        await asyncio.wait({gone, icon}, timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            tail = " / ".join(gone.result()[0].decode(errors="replace").strip().splitlines()[-2:])
            raise BenchError(f"exit code {process.returncode}: {tail[-300:]}")
        if not icon.done():
            raise BenchError(f"no tray icon within {START_SECONDS:g} s")
        await asyncio.sleep(settle)
        return memory_mib(process.pid)
    finally:
        icon.cancel()
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(gone, 10)
        except TimeoutError:
            process.kill()
            await process.wait()
        bus.disconnect()


def _watcher():  # type: ignore[no-untyped-def]  # the decorators of dbus-fast read D-Bus signatures from annotations
    from dbus_fast import PropertyAccess
    from dbus_fast.service import ServiceInterface, dbus_property, method, signal

    class StatusNotifierWatcher(ServiceInterface):
        def __init__(self) -> None:
            super().__init__(WATCHER)
            self.items: list[str] = []
            self.registered = asyncio.Event()

        @method()
        def RegisterStatusNotifierItem(self, service: "s"):  # type: ignore[name-defined,no-untyped-def]  # noqa: F821
            self.items.append(service)
            self.registered.set()
            self.StatusNotifierItemRegistered(service)

        @method()
        def RegisterStatusNotifierHost(self, service: "s"):  # type: ignore[name-defined,no-untyped-def]  # noqa: F821
            pass

        @dbus_property(access=PropertyAccess.READ)
        def RegisteredStatusNotifierItems(self) -> "as":  # type: ignore[valid-type]  # noqa: F722
            return self.items

        @dbus_property(access=PropertyAccess.READ)
        def IsStatusNotifierHostRegistered(self) -> "b":  # type: ignore[name-defined]  # noqa: F821
            return True

        @dbus_property(access=PropertyAccess.READ)
        def ProtocolVersion(self) -> "i":  # type: ignore[name-defined]  # noqa: F821
            return 0

        @signal()
        def StatusNotifierItemRegistered(self, service) -> "s":  # type: ignore[name-defined,no-untyped-def]  # noqa: F821
            return service

    return StatusNotifierWatcher()


def _x_server(stack: ExitStack) -> str:
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    if not number:
        raise BenchError("Xvfb did not start")
    return f":{number}"


def _session_bus(stack: ExitStack, environ: Mapping[str, str]) -> str:
    command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address"]
    process = subprocess.Popen(command, env=dict(environ), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    assert process.stdout is not None
    stack.callback(process.stdout.close)
    address = process.stdout.readline().strip()
    if not address:
        raise BenchError("dbus-daemon did not start")
    return address
