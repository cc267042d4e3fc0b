"""Makes the pictures of the README from the real windows: `python -m tests.desktop.pictures [FOLDER]`.

A real agent in a home of its own talks to the scripted model on loopback; nothing is drawn by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before the first import of Qt

from PySide6.QtWidgets import QApplication, QWidget

from agent.paths import Paths
from agent.service import AgentService
from desktop import tasks, theme
from desktop.__main__ import make_qt_application
from desktop.bridge import Bridge
from desktop.chat.window import ChatWindow
from desktop.window import MainWindow
from tests.desktop.memory_keyring import MemoryKeyring
from tests.desktop.patient_loop import PatientLoop
from tests.desktop.waiting import until
from tests.peers.model_server import ModelServer
from tests.peers.replies import Call, Reply
from tests.peers.telegram_api import TelegramApi

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SIZE = 1080, 740
MODELS = ("gpt-5-mini", "gpt-5", "gpt-5-nano")
INVOICES = {
    "2026-10-03 Nordlicht.txt": "Nordlicht GmbH\nInvoice 2291\nTotal 1,240.00 EUR\nDue 30 November 2026\nOPEN\n",
    "2026-10-14 Hetzner.txt": "Hetzner Online\nInvoice R0098\nTotal 38.91 EUR\nDue 2 December 2026\nOPEN\n",
    "2026-10-21 Papier Krause.txt": "Papier Krause\nInvoice 771\nTotal 64.20 EUR\nPAID 22 October 2026\n",
    "2026-11-02 Hetzner.txt": "Hetzner Online\nInvoice R0113\nTotal 38.91 EUR\nPAID 4 November 2026\n",
}
EARLIER = (
    ("Plan a weekend in Leipzig", "Two days, mostly on foot: the old town on Saturday, the lakes on Sunday."),
    ("Rename the holiday photos", "Done: 212 photos now carry their date and place."),
    ("What does this contract say about notice?", "Three months to the end of a quarter, in writing (section 9)."),
)
TRAIN = ("When does my train leave tomorrow?", "At 17:52 from platform 4. I will remind you at 17:00.")
OWNER = 4242
TOKEN = "700700:picture"
QUESTION = "Sort the invoices by supplier, and tell me what is still unpaid."
FOUND = """Two of the four invoices are **still unpaid**. To sort them, I would move each to a folder of its supplier.

| Supplier | Invoice | Amount | Due |
|---|---|---:|---|
| Nordlicht GmbH | 2291 | 1,240.00 € | 30 Nov |
| Hetzner Online | R0098 | 38.91 € | 2 Dec |
"""
MOVE = "for name in Nordlicht Hetzner Krause; do mkdir $name && mv *$name.txt $name/; done"


@dataclass
class Studio:
    """A running agent with its windows' parts."""

    qt: QApplication
    paths: Paths
    model: ModelServer
    service: AgentService
    bridge: Bridge

    async def settle(self) -> None:
        """Until layouts, reads and renderings have come to rest."""
        for _ in range(12):
            await asyncio.sleep(0.02)

    async def chat(self, size: tuple[int, int] = SIZE) -> tuple[MainWindow, ChatWindow]:
        """The main window with the chat in it, shown."""
        window, chat = MainWindow(self.paths.data / "window.ini"), ChatWindow(self.service, self.bridge)
        window.resize(*size)
        window.set_content(chat)
        window.show()
        window.activateWindow()
        await until(lambda: chat.list.nothing.text() or chat.list.model.rows, "the list")
        return window, chat

    async def ask(self, chat: ChatWindow, text: str, *answers: Reply) -> None:
        """Write a message; returns when it is answered or waits for the person."""
        self.model.script = [*answers]
        self.model._script_position = 0
        count = len(chat.timeline.boxes)
        chat._send(text, ())
        await until(lambda: len(chat.timeline.boxes) > count, "the turn")
        box = chat.timeline.boxes[-1]
        await until(lambda: box.ending is not None or box.open_approval() is not None, "its end or a question")
        await until(lambda: all(view.settled for view in box._views()), "the rendering")
        await self.settle()

    async def save(self, window: QWidget, file: Path) -> None:
        """Keep what the window shows now."""
        await self.settle()
        file.parent.mkdir(parents=True, exist_ok=True)
        image = window.grab().toImage()
        if not image.save(str(file)):
            raise OSError(f"{file} could not be written")

    def dress(self, name: theme.Mode, text_scale: float = 1.0) -> None:
        """Light or dark, at a text size."""
        theme.apply(self.qt, name, text_scale=text_scale)


@asynccontextmanager
async def studio(home: Path, qt: QApplication, settings: str = "") -> AsyncIterator[Studio]:
    """An agent at home in `home`, with the scripted model as OpenAI."""
    os.environ["HOME"] = os.environ["USERPROFILE"] = str(home)
    os.environ["PYTHON_KEYRING_BACKEND"] = "tests.desktop.memory_keyring.MemoryKeyring"
    MemoryKeyring.secrets["provider:openai"] = "sk-picture"
    paths = Paths(home / "config", home / "data", home / "cache", home / "TrayClaw")
    paths.prepare()
    async with ModelServer(models=MODELS, api_key="sk-picture") as model:
        default = f'[model]\ndefault = "openai/{MODELS[0]}"\n[providers.openai]\nbase_url = "{model.base_url}"\n'
        paths.config_file.write_text(default + "[desktop]\nwelcomed = true\n" + settings)
        service = await AgentService.start(paths, resident=True)
        bridge = Bridge()
        await bridge.attach(service)
        try:
            yield Studio(qt, paths, model, service, bridge)
        finally:
            bridge.detach()
            await tasks.cancel_all()
            await service.stop()


async def earlier(made: Studio, api: TelegramApi) -> None:
    """What was talked about in the last days, here and on Telegram."""
    window, chat = await made.chat()
    for question, answer in EARLIER:
        chat.show_conversation(None)
        await made.ask(chat, question, Reply(answer, prompt_tokens=1810, completion_tokens=240))
    window.hide()
    made.model.script = Reply(TRAIN[1])
    await api.say(OWNER, TRAIN[0])
    await api.wait_for_reply(OWNER)


def age(database: Path) -> None:
    """Move what was said into the past, and let it have cost something."""
    with closing(sqlite3.connect(database)) as db, db:
        numbers = [row[0] for row in db.execute("SELECT id FROM conversations ORDER BY id DESC")]
        for number, hours in zip(numbers, (0.4, 2, 26, 50), strict=False):
            db.execute("UPDATE conversations SET updated_at = updated_at - ? WHERE id = ?", (hours * 3600, number))
        db.execute("UPDATE usage SET cost_usd = 0.42 WHERE id = (SELECT max(id) FROM usage)")


async def invoices(made: Studio, chat: ChatWindow) -> None:
    """A conversation with a tool card and a question."""
    folder = made.paths.workspace / "Invoices"
    folder.mkdir(exist_ok=True)
    for name, text in INVOICES.items():
        (folder / name).write_text(text)
    chat.show_conversation(None)
    await made.ask(
        chat,
        QUESTION,
        Reply(calls=[Call("list_dir", {"path": "Invoices"})], prompt_tokens=2890, completion_tokens=90),
        Reply(
            FOUND,
            calls=[Call("run_command", {"command": MOVE, "cwd": "Invoices", "network": True})],
            prompt_tokens=4210,
            completion_tokens=310,
        ),
    )
    question = chat.timeline.boxes[-1].open_approval()
    assert question is not None
    await until(question.allow.isEnabled, "Allow to wake")


async def take(folder: Path, qt: QApplication) -> None:
    """All pictures of the README into `folder`."""
    with tempfile.TemporaryDirectory(prefix="tc-", ignore_cleanup_errors=True) as home:
        async with TelegramApi(TOKEN, username="my_claw_bot") as api:
            api.add_user(OWNER, "Grace")
            MemoryKeyring.secrets["channel:telegram"] = TOKEN
            telegram = f'[channels.telegram]\nenabled = true\napi_base = "{api.root_url}"\nowners = [{OWNER}]\n'
            async with studio(Path(home), qt, telegram) as made:
                await earlier(made, api)
        age(Path(home) / "data" / "trayclaw.db")
        async with studio(Path(home), qt) as made:
            window, chat = await made.chat()
            await invoices(made, chat)
            made.dress("light")
            await made.save(window, folder / "chat.png")
            made.dress("dark")
            await made.save(window, folder / "chat-dark.png")
            window.hide()
            window.deleteLater()


def main() -> None:
    """Make them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=IMAGES)
    folder: Path = parser.parse_args().folder
    for name in [name for name in os.environ if name.startswith(("TRAYCLAW_", "XDG_"))]:
        del os.environ[name]
    qt = make_qt_application()
    theme.set_reduced_motion(True)
    with asyncio.Runner(loop_factory=lambda: PatientLoop(qt)) as runner:
        runner.run(take(folder, qt))


if __name__ == "__main__":
    main()
