"""Views of a turn for pipes: the plain text of the answer, or JSON lines."""

from __future__ import annotations

import sys

from agent.cli.wire import line, turn_event
from agent.events import (
    Approval,
    ApprovalChoice,
    ApprovalResolved,
    Event,
    MessageSent,
    Question,
    ToolCalled,
    ToolFinished,
    TurnFinished,
    TurnNotice,
    TurnText,
)


class _Quiet:
    """Needs no preparation and leaves nothing behind."""

    def open(self) -> None: ...

    def close(self) -> None: ...


class JsonView(_Quiet):
    """One JSON object a line on stdout. `choice` answers every approval, and nobody is there to answer the model's
    questions; None asks at the terminal."""

    def __init__(self, choice: ApprovalChoice | None) -> None:
        self._choice = choice

    def show(self, event: Event) -> None:
        document = turn_event(event)
        if document is not None:
            print(line(document), flush=True)

    async def decide(self, approval: Approval) -> ApprovalChoice:
        return self._choice or await _ask_on_stderr(approval)

    async def reply(self, question: Question) -> str | None:
        return None if self._choice else await _pose_on_stderr(question)


class PlainView(_Quiet):
    """The answer on stdout as it comes; what happens around it in short lines on stderr, where a person reads it."""

    def __init__(self, choice: ApprovalChoice | None) -> None:
        self._choice = choice
        self._tell = sys.stderr.isatty()
        self._open_line = False
        self._anything = False

    def show(self, event: Event) -> None:
        match event:
            case TurnText():
                self._write(event.delta)
            case ToolCalled():
                self._end_line()
                self._note(f"… {event.summary or event.name}")
            case MessageSent():
                self._end_line()
                self._write("\n".join((event.text, *map(str, event.files))) + "\n")
            case ToolFinished():
                self._note(f"{'ok' if event.ok else 'failed'}: {event.name} ({event.seconds:.1f} s)")
            case ApprovalResolved() if event.choice == "deny":
                self._note(f"Denied: {event.approval.title}")
            case TurnNotice():
                self._note(event.text)
            case TurnFinished():
                if not self._anything and event.failure is None:
                    self._write(event.text)
                self._end_line()
            case _:
                pass

    async def decide(self, approval: Approval) -> ApprovalChoice:
        return self._choice or await _ask_on_stderr(approval)

    async def reply(self, question: Question) -> str | None:
        return None if self._choice else await _pose_on_stderr(question)

    def _write(self, text: str) -> None:
        if text:
            print(text, end="", flush=True)
            self._open_line = not text.endswith("\n")
            self._anything = True

    def _end_line(self) -> None:
        if self._open_line:
            self._write("\n")

    def _note(self, text: str) -> None:
        if self._tell:
            from agent.cli.safe import visible

            print(visible(text, one_line=True), file=sys.stderr, flush=True)


async def _ask_on_stderr(approval: Approval) -> ApprovalChoice:
    from agent.cli.terminal.approval import ask

    return await ask(approval, sys.stderr)


async def _pose_on_stderr(question: Question) -> str:
    from agent.cli.terminal.question import ask

    return await ask(question, sys.stderr)
