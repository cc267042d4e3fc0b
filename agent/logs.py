"""The log file: rotating, redacted, under `Paths.logs`. Nothing goes to stderr unless somebody asked for it."""

from __future__ import annotations

import contextlib
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path

from agent.paths import Paths
from agent.safety.redact import Redactor

FILE_NAME = "trayclaw.log"
FILE_BYTES = 1_000_000
OLD_FILES = 3
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def log_file(paths: Paths) -> Path:
    """Where the log of this installation is."""
    return paths.logs / FILE_NAME


def configure(paths: Paths, *, verbose: bool = False) -> None:
    """Send the log of this process to the file, and to stderr too when `verbose`. A second call changes nothing.

    A folder that cannot be written costs the log, not the program.
    """
    root = logging.getLogger()
    if any(isinstance(handler, _QuietFile) for handler in root.handlers):
        return
    with contextlib.suppress(OSError):
        paths.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = _QuietFile(
        log_file(paths), maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8", delay=True, errors="replace"
    )
    handlers: list[logging.Handler] = [file]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    formatter = RedactingFormatter(FORMAT, Redactor())
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for package in ("agent", "desktop"):
        logging.getLogger(package).setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.captureWarnings(True)


def redact_with(redactor: Redactor) -> None:
    """Hide the secrets that this redactor knows, too: the one of the store, once it is there."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, RedactingFormatter):
            handler.formatter.redactor = redactor


def scrubbed(text: str) -> str:
    """A text for people, such as the words of an unexpected error, without the secrets that a log would hide."""
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    redactor = next((one.redactor for one in formatters if isinstance(one, RedactingFormatter)), None)
    return (redactor or Redactor()).scrub(text)


class RedactingFormatter(logging.Formatter):
    """Formats, then takes the secrets out: of the message, its arguments and the traceback alike."""

    def __init__(self, layout: str, redactor: Redactor) -> None:
        super().__init__(layout)
        self.redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        return self.redactor.scrub(super().format(record))


class _QuietFile(RotatingFileHandler):
    """A full disk or a folder that went away must not write tracebacks over a conversation."""

    def _open(self):  # type: ignore[no-untyped-def]  # the stub's return type is private to typeshed
        stream = super()._open()
        with contextlib.suppress(OSError):
            Path(self.baseFilename).chmod(0o600)
        return stream

    def handleError(self, record: logging.LogRecord) -> None:
        """Drop the record."""
