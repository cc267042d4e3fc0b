"""Proves that this copy of TrayClaw carries everything it needs to run: the check that packages are judged by.

Hidden command `trayclaw smoke`. It needs no network and no configuration and leaves nothing behind.
"""

import asyncio
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

KEYRING_SERVICE = "trayclaw-smoke"
KEYRING_SECONDS = 10.0


@dataclass(frozen=True)
class Check:
    """One thing that was tried; `seconds` is wall time."""

    name: str
    ok: bool
    detail: str
    seconds: float


class SmokeError(Exception):
    """A check found something missing; its text becomes the detail."""


def measure(name: str, probe: Callable[[], str]) -> Check:
    """Runs a probe; what it returns, or the error it raises, is the detail."""
    start = time.perf_counter()
    try:
        ok, detail = True, probe()
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in a probe is its finding
        ok, detail = False, str(error) if isinstance(error, SmokeError) else f"{type(error).__name__}: {error}"
    return Check(name, ok, detail, round(time.perf_counter() - start, 3))


def run(as_json: bool) -> int:
    """Runs every check and prints the findings; returns the exit code, 0 when all passed."""
    checks = [measure(name, probe) for name, probe in _probes()]
    checks += _desktop_checks()
    ok = all(check.ok for check in checks)
    if as_json:
        frozen = bool(getattr(sys, "frozen", False))
        rows = [asdict(check) for check in checks]
        print(json.dumps({"ok": ok, "version": _version(), "frozen": frozen, "checks": rows}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<{width}}  {check.seconds:6.3f} s  {check.detail}")
    return 0 if ok else 1


def _probes() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "resources", _resources
    yield "skills", _skills
    yield "sqlite", _sqlite
    yield "ca-certificates", _ca_certificates
    yield "timezones", _timezones
    yield "subprocess", lambda: asyncio.run(echo_through_child())
    yield "telegram", lambda: _import_sdk("telegram.ext", "python-telegram-bot")
    yield "discord", lambda: _import_sdk("discord", "discord.py")
    yield "mcp", _mcp
    yield "prices", _prices
    yield "terminal", _terminal
    yield "web_pages", _web_pages
    yield "documents", _documents
    yield "keyring", _keyring
    yield "starter-model", _starter_model


def _mcp() -> str:
    from agent.tools.mcp_server import load_sdk

    load_sdk()
    from mcp_types.version import LATEST_PROTOCOL_VERSION

    return f"protocol {LATEST_PROTOCOL_VERSION}"


def _version() -> str:
    return importlib.metadata.version("trayclaw")


def _resources() -> str:
    from importlib.resources import files

    root = files("resources")
    icon = root / "icons" / "trayclaw.svg"
    if not icon.is_file():
        raise SmokeError("the icon resources/icons/trayclaw.svg is missing")
    counts = {
        folder.name: sum(1 for entry in folder.iterdir() if entry.is_file())
        for folder in sorted(root.iterdir(), key=lambda entry: entry.name)
        if folder.is_dir() and not folder.name.startswith("_")
    }
    empty = [name for name, count in counts.items() if not count and not _has_folders(root / name)]
    if empty:
        raise SmokeError(f"empty in this copy: {', '.join(empty)}")
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _has_folders(folder: object) -> bool:
    return isinstance(folder, Path) and any(entry.is_dir() for entry in folder.iterdir())


def _skills() -> str:
    from agent.skills.shipped import SHIPPED
    from agent.skills.skill import read, shipped_skills

    genuine = [skill.name for skill, _ in map(read, shipped_skills()) if skill.genuine and not skill.problem]
    if missing := sorted(set(SHIPPED) - set(genuine)):
        raise SmokeError(f"not as they were written down in this copy: {', '.join(missing)}")
    return ", ".join(genuine)


def _sqlite() -> str:
    import sqlite3

    # ignore_cleanup_errors: Windows keeps a file for a moment after its last handle was closed.
    with tempfile.TemporaryDirectory(prefix="trayclaw-smoke-", ignore_cleanup_errors=True) as folder:
        with contextlib.closing(sqlite3.connect(Path(folder) / "probe.db")) as database:
            (mode,) = database.execute("pragma journal_mode=wal").fetchone()
            if mode != "wal":
                raise SmokeError(f"SQLite {sqlite3.sqlite_version} answers journal mode {mode!r} instead of 'wal'")
            database.execute("create virtual table note using fts5(text)")
            database.execute("insert into note values ('a tray full of claws')")
            if database.execute("select count(*) from note where note match 'claws'").fetchone() != (1,):
                raise SmokeError(f"SQLite {sqlite3.sqlite_version}: the full-text index does not find its row")
        return f"{sqlite3.sqlite_version}, WAL, FTS5"


def _ca_certificates() -> str:
    import ssl

    import certifi

    path = Path(certifi.where())
    if not path.is_file():
        raise SmokeError(f"{path} does not exist")
    count = ssl.create_default_context(cafile=str(path)).cert_store_stats()["x509_ca"]
    if not count:
        raise SmokeError(f"{path} holds no certificate")
    return f"{count} authorities, {ssl.OPENSSL_VERSION}"


def _timezones() -> str:
    import importlib.resources
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo, available_timezones

    if not importlib.resources.files("tzdata.zoneinfo").joinpath("Europe", "Berlin").is_file():
        raise SmokeError("the package tzdata has no zone files")
    summer = datetime(2026, 7, 1, 12, tzinfo=UTC).astimezone(ZoneInfo("Europe/Berlin"))
    if summer.hour != 14:
        raise SmokeError(f"12:00 UTC on 1 July 2026 became {summer:%H:%M} in Berlin instead of 14:00")
    return f"{len(available_timezones())} zones"


async def echo_through_child() -> str:
    """Starts a program through the running event loop and reads what it says."""
    windows = sys.platform == "win32"
    command = ["cmd", "/c", "echo ready"] if windows else ["/bin/sh", "-c", 'echo "ready $LD_LIBRARY_PATH"']
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(child.communicate(), 20)
    answer, _, library_path = output.decode(errors="replace").strip().partition(" ")
    if answer != "ready" or child.returncode != 0:
        raise SmokeError(f"{command[0]} said {output!r} and exited {child.returncode}")
    bundle = getattr(sys, "_MEIPASS", "")
    if bundle and bundle in library_path:
        raise SmokeError("programs that are started from here load the libraries of this package instead of their own")
    return type(asyncio.get_running_loop()).__name__


def _import_sdk(module: str, distribution: str) -> str:
    importlib.import_module(module)
    return f"{distribution} {importlib.metadata.version(distribution)}"


def _prices() -> str:
    from genai_prices.data import providers

    return f"{len(providers)} providers"


def _web_pages() -> str:
    from agent.tools.web_page import as_markdown
    from agent.tools.web_search import plain_hits

    page = b"<html><body><main><h1>Title</h1><p>A paragraph with enough words to count.</p></main></body></html>"
    if "Title" not in as_markdown(page, "text/html", "https://example.com/"):
        raise SmokeError("a page was not read")
    plain_hits("<p>nothing</p>")
    return "pages are read"


def _documents() -> str:
    """In its own process, as for a person's file: that one must start from this copy as well."""
    import io
    import zipfile

    from agent.tools.documents import document_text

    words = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        body = f'<w:document xmlns:w="{words}"><w:body><w:p><w:r><w:t>hello</w:t></w:r></w:p></w:body></w:document>'
        archive.writestr("word/document.xml", body)
    if "hello" not in asyncio.run(document_text(data.getvalue(), "docx")):
        raise SmokeError("a document was not read")
    return "documents are read"


def _terminal() -> str:
    import prompt_toolkit
    import rich.console
    import rich.markdown

    console = rich.console.Console(width=40, file=None, force_terminal=False)
    with console.capture() as capture:
        console.print(rich.markdown.Markdown("**bold** and `code`\n\n```python\nprint(1)\n```"))
    if "bold" not in capture.get():
        raise SmokeError("Markdown does not render in the terminal")
    return f"prompt_toolkit {prompt_toolkit.__version__}"


def _keyring() -> str:
    """Names the backend and, where there is one, writes, reads and deletes an entry of its own.

    In a thread of its own: a locked keyring may ask its owner and wait for ever.
    """
    outcome: list[str | Exception] = []

    def round_trip() -> None:
        try:
            outcome.append(_keyring_round_trip())
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread
            outcome.append(error)

    thread = threading.Thread(target=round_trip, name="smoke-keyring", daemon=True)
    thread.start()
    thread.join(KEYRING_SECONDS)
    if not outcome:
        raise SmokeError(f"no answer within {KEYRING_SECONDS:.0f} s; is the keyring locked?")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _keyring_round_trip() -> str:
    import secrets

    import keyring
    import keyring.backends.fail

    backend = keyring.get_keyring()
    if isinstance(backend, keyring.backends.fail.Keyring):
        return "none on this machine"
    user, value = f"probe-{secrets.token_hex(4)}", secrets.token_hex(8)
    backend.set_password(KEYRING_SERVICE, user, value)
    try:
        if backend.get_password(KEYRING_SERVICE, user) != value:
            raise SmokeError(f"{backend.name}: the entry that was written is not the one that is read")
    finally:
        backend.delete_password(KEYRING_SERVICE, user)
    return str(backend.name)


def _starter_model() -> str:
    if importlib.util.find_spec("xllamacpp") is None:
        return "not included"
    return _import_sdk("xllamacpp", "xllamacpp")


def _desktop_checks() -> list[Check]:
    """The Qt checks live in the other package: this one must run where Qt is not installed."""
    if importlib.util.find_spec("PySide6") is None:
        return [Check("qt", True, "not available: PySide6 is not installed", 0.0)]
    checks: list[Check] = importlib.import_module("desktop.smoke").qt_checks()
    return checks
