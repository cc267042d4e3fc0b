"""`trayclaw ask`: one question, one answer, for people and for scripts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

    from agent.cli.talk import View
    from agent.events import ApprovalChoice
    from agent.service import AgentService


class Approve(StrEnum):
    """What becomes of questions that nobody is there to answer."""

    NEVER = "never"
    ALWAYS = "always"


@dataclass(slots=True)
class Question:
    """The arguments of the command. `text` None or "-" stands for stdin, `approve` None for asking at a terminal."""

    text: str | None = None
    as_json: bool = False
    model: str = ""
    conversation: str = ""
    approve: Approve | None = None


def register(app: typer.Typer) -> None:
    """Add `ask`."""
    import typer

    @app.command()
    def ask(
        text: str | None = typer.Argument(None, help='The question; "-" or nothing reads it from stdin.'),
        as_json: bool = typer.Option(False, "--json", help="Print one JSON object a line."),
        model: str = typer.Option("", metavar="PROVIDER/MODEL", help="Use this model for this answer."),
        conversation: str = typer.Option(
            "", metavar="NAME", help="Continue this conversation; a new one when there is none."
        ),
        approve: Approve | None = typer.Option(
            None,
            metavar="never|always",
            help="Deny or allow everything that needs approval. Default: ask at a terminal, else never.",
        ),
    ) -> int:
        """Ask one question and print the answer."""
        return run(Question(text, as_json, model, conversation, approve))


def plain_question(arguments: Sequence[str]) -> Question | None:
    """Parse the common forms without typer, which takes longer than a fast model; None leaves it to typer."""
    question = Question()
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--json":
            question.as_json = True
        elif argument in ("--model", "--conversation", "--approve") and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
            if argument == "--model":
                question.model = value
            elif argument == "--conversation":
                question.conversation = value
            elif value in tuple(Approve):
                question.approve = Approve(value)
            else:
                return None
        elif (argument == "-" or not argument.startswith("-")) and question.text is None:
            question.text = argument
        else:
            return None
    return question


def run(question: Question) -> int:
    """Take one turn; returns its exit code."""
    from agent.cli.session import with_service

    text = _text(question.text)

    async def work(service: AgentService) -> int:
        from agent.cli.failures import STOPPED, report_failure
        from agent.cli.talk import talk
        from agent.cli.unlock import unlock
        from agent.errors import UsageError

        view = _view(question)
        await unlock(service, question.model or service.settings.model.default)
        if question.conversation:
            place = await service.local_conversation(question.conversation)
        else:
            place = await service.new_conversation()
        try:
            finished = await talk(service, place, text, view, model=question.model)
        except UsageError:  # an unknown model: nothing was said
            if not question.conversation:
                await service.delete_conversation(place)
            raise
        if finished is None:
            return STOPPED
        if finished.failure is not None:
            return report_failure(finished.failure, finished.model)  # with --json the view printed the last line
        return {"answered": 0, "stopped": STOPPED, "refused": 3}.get(finished.status, 1)

    return with_service(work)


def _view(question: Question) -> View:
    choice: ApprovalChoice | None
    if question.approve is None:
        choice = None if sys.stdin.isatty() and sys.stderr.isatty() else "deny"
    else:
        choice = "allow" if question.approve is Approve.ALWAYS else "deny"
    if question.as_json or not sys.stdout.isatty():
        from agent.cli.stream import JsonView, PlainView

        return JsonView(choice) if question.as_json else PlainView(choice)
    from agent.cli.terminal.view import TerminalView

    return TerminalView(fixed_choice=choice)


def _text(given: str | None) -> str:
    from agent.errors import UsageError

    if given is None and sys.stdin.isatty():
        raise UsageError(
            "There is nothing to ask.", title="The question is missing", hint='trayclaw ask "What is the time?"'
        )
    text = sys.stdin.read() if given is None or given == "-" else given
    if not text.strip():
        hint = "Give it as an argument or on stdin."
        raise UsageError("The text is empty.", title="The question is missing", hint=hint)
    return text
