"""A StatusNotifier watcher and host on the session bus: finds the application's tray item and drives its menu by label.

https://www.freedesktop.org/wiki/Specifications/StatusNotifierItem/ and the com.canonical.dbusmenu interface.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Annotated, Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusInt32, DBusSignature, DBusStr
from dbus_fast.constants import PropertyAccess
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal

WATCHER = "org.kde.StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"


@dataclass
class MenuLine:
    """A line as a panel would draw it. `checked` None: no check mark."""

    id: int
    label: str
    enabled: bool
    checked: bool | None
    separator: bool
    children: list[MenuLine] = field(default_factory=list)


class Watcher(ServiceInterface):
    """The panel's side: items register here."""

    def __init__(self, bus: MessageBus) -> None:
        super().__init__(WATCHER)
        self.bus = bus
        self.items: list[str] = []
        self.changed = asyncio.Event()

    @classmethod
    async def start(cls, address: str) -> Watcher:
        """Own the watcher's name on the bus of that address."""
        bus = await MessageBus(bus_address=address, bus_type=BusType.SESSION).connect()
        watcher = cls(bus)
        bus.export("/StatusNotifierWatcher", watcher)
        bus.add_message_handler(watcher._note_sender)
        await bus.request_name(WATCHER)
        return watcher

    def stop(self) -> None:
        self.bus.disconnect()

    _sender = ""

    def _note_sender(self, message: Message) -> None:
        if message.message_type == MessageType.METHOD_CALL and message.interface == WATCHER:
            self._sender = message.sender or ""

    @dbus_method()
    def RegisterStatusNotifierItem(self, service: DBusStr):  # "-> None" would be read as a signature
        item = f"{self._sender}{service}" if service.startswith("/") else f"{service}/StatusNotifierItem"
        self.items.append(item)
        self.changed.set()
        self.StatusNotifierItemRegistered(item)

    @dbus_method()
    def RegisterStatusNotifierHost(self, _service: DBusStr):
        pass

    @dbus_property(access=PropertyAccess.READ)
    def RegisteredStatusNotifierItems(self) -> Annotated[list[str], DBusSignature("as")]:
        return self.items

    @dbus_property(access=PropertyAccess.READ)
    def IsStatusNotifierHostRegistered(self) -> DBusBool:
        return True

    @dbus_property(access=PropertyAccess.READ)
    def ProtocolVersion(self) -> DBusInt32:
        return 0

    @dbus_signal()
    def StatusNotifierItemRegistered(self, item: str) -> DBusStr:
        return item

    async def item(self, timeout: float = 20) -> TrayItem:
        """The first item that registers."""
        async with asyncio.timeout(timeout):
            while not self.items:
                self.changed.clear()
                await self.changed.wait()
        name, _, path = self.items[-1].partition("/")
        return TrayItem(self.bus, name, f"/{path}")


class TrayItem:
    """The application's icon, as a host sees it."""

    def __init__(self, bus: MessageBus, name: str, path: str) -> None:
        self._bus, self._name, self._path = bus, name, path
        self._menu_path = ""

    async def call(self, path: str, interface: str, member: str, signature: str = "", *body: Any) -> list[Any]:
        """A method call; raises RuntimeError with the error the application answers."""
        reply = await self._bus.call(
            Message(
                destination=self._name,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=list(body),
            )
        )
        if reply is None or reply.message_type == MessageType.ERROR:
            raise RuntimeError(f"{member}: {reply.error_name if reply else 'no reply'} {reply.body if reply else ''}")
        return list(reply.body)

    async def property(self, name: str) -> Any:
        (value,) = await self.call(self._path, "org.freedesktop.DBus.Properties", "Get", "ss", ITEM, name)
        return value.value

    async def activate(self) -> None:
        """A left click."""
        await self.call(self._path, ITEM, "Activate", "ii", 10, 10)

    async def menu(self) -> list[MenuLine]:
        """The menu as a panel reads it when it opens it."""
        if not self._menu_path:
            self._menu_path = await self.property("Menu")
        await self.call(self._menu_path, MENU, "AboutToShow", "i", 0)
        _revision, layout = await self.call(self._menu_path, MENU, "GetLayout", "iias", 0, -1, [])
        return _line(layout).children

    async def labels(self) -> list[str]:
        return [line.label for line in await self.menu() if not line.separator]

    async def find(self, start: str) -> MenuLine | None:
        """The line whose label starts so."""
        return next((line for line in await self.menu() if line.label.startswith(start)), None)

    async def click(self, start: str) -> None:
        """Choose the line whose label starts so."""
        line = await self.find(start)
        assert line is not None, f"no line {start!r} in {await self.labels()}"
        assert line.enabled, f"{line.label!r} is disabled"
        stamp = int(time.time()) & 0x7FFFFFFF
        await self.call(self._menu_path, MENU, "Event", "isvu", line.id, "clicked", Variant("i", 0), stamp)

    async def wait_for(self, start: str, timeout: float = 20) -> MenuLine:
        """Until the menu has a line that starts so."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            line = await self.find(start)
            if line is not None:
                return line
            await asyncio.sleep(0.05)
        raise AssertionError(f"no line {start!r} within {timeout} s; there is {await self.labels()}")


def _line(layout: Any) -> MenuLine:
    identifier, properties, children = layout
    values = {name: variant.value for name, variant in properties.items()}
    checkable = bool(values.get("toggle-type"))
    return MenuLine(
        id=identifier,
        label=str(values.get("label", "")).replace("_", ""),
        enabled=bool(values.get("enabled", True)),
        checked=values.get("toggle-state") == 1 if checkable else None,
        separator=values.get("type") == "separator",
        children=[_line(child.value) for child in children if child.value[1].get("visible", Variant("b", True)).value],
    )
