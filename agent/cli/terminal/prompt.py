"""The line where a person types: history across sessions, several lines, completion of commands, safe paste."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application.current import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_done
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle
from prompt_toolkit.styles import Style

from agent.cli.terminal.glyphs import Glyphs

STYLE = Style.from_dict(
    {
        "prompt": "bold ansired",
        "continuation": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
        "bottom-toolbar.text": "noreverse ansibrightblack",
    }
)

Suggest = Callable[[str], Iterable[tuple[str, str]]]
"""From what stands after "/" to (the whole text after "/", what it is)."""


class CommandCompleter(Completer):
    """Completes commands; anything that does not begin with a slash is left alone."""

    def __init__(self, suggest: Suggest) -> None:
        self._suggest = suggest

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        text = document.text
        if not text.startswith("/") or "\n" in text:
            return
        for word, meaning in self._suggest(text[1:]):
            yield Completion(f"/{word}", start_position=-len(text), display_meta=meaning)


class Prompt:
    """Reads messages. `toolbar` gives the text of the line at the bottom."""

    def __init__(self, history_file: Path, suggest: Suggest, toolbar: Callable[[], str], glyphs: Glyphs) -> None:
        self._sign = glyphs.prompt
        self._session: PromptSession[str] = PromptSession(
            history=_history(history_file),
            multiline=True,
            completer=CommandCompleter(suggest),
            complete_while_typing=True,
            complete_style=CompleteStyle.COLUMN,
            reserve_space_for_menu=4,
            key_bindings=_bindings(),
            prompt_continuation=lambda width, number, wraps: [("class:continuation", " " * width)],
            bottom_toolbar=lambda: toolbar(),
            enable_open_in_editor=True,
            style=STYLE,
        )

    async def read(self) -> str:
        """The next message. Raises EOFError to leave (Ctrl+D, or Ctrl+C with nothing typed)."""
        message = FormattedText([("class:prompt", f"{self._sign} ")])
        text: str = await self._session.prompt_async(message, handle_sigint=False)
        return text


def _history(file: Path) -> History:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.touch(mode=0o600)
        with file.open("a"):
            pass
    except OSError:
        return InMemoryHistory()
    return _Kept(str(file))


class _Kept(FileHistory):
    """A disk that fills up costs the history of this session, not the session."""

    def store_string(self, string: str) -> None:
        with contextlib.suppress(OSError):
            super().store_string(string)


def _bindings() -> KeyBindings:
    keys = KeyBindings()

    @Condition
    def chosen() -> bool:
        state = get_app().current_buffer.complete_state
        return state is not None and state.current_completion is not None

    @keys.add("enter", filter=~is_done & ~chosen)
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        elif buffer.text.strip():
            buffer.validate_and_handle()

    @keys.add("enter", filter=chosen)
    def take_completion(event: KeyPressEvent) -> None:
        event.current_buffer.complete_state = None

    @keys.add("escape", "enter")
    def newline(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c")
    def clear_or_leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=EOFError)

    return keys
