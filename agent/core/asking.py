"""Questions in messengers, answered by their codes: about actions, which an owner decides, and those of the model."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from sqlite3 import Connection

from agent.channels.channel import Button
from agent.core.questions import QuestionDesk
from agent.errors import PolicyRefusedError, StorageError, UsageError
from agent.events import Approval, ApprovalChoice, PairingAsked, Question
from agent.safety.approvals import ApprovalDesk
from agent.safety.effects import visible
from agent.storage import conversations, outbox, turns
from agent.storage.conversations import LOCAL
from agent.storage.database import Database

log = logging.getLogger(__name__)

_CODE_CHARS = 6
_CHOICES: dict[str, ApprovalChoice] = {"": "allow", "once": "allow", "conversation": "conversation", "always": "always"}


@dataclass(slots=True)
class ChatQuestions:
    """Sends a question about an action to the chat of the turn where an owner asked for it, else to the owners' own
    chats; one of the model to the chat of the turn, whose next message answers it."""

    database: Database
    desk: ApprovalDesk
    wanted: QuestionDesk
    owners: Callable[[str], tuple[str, ...]]
    deliver: Callable[[int], None]

    async def ask(self, approval: Approval) -> None:
        """Put it on its way; the desktop asks at the same time."""

        def queue(db: Connection) -> list[int]:
            asker = turns.asker(db, approval.turn_id)
            if asker is None or asker.channel == LOCAL:
                return []
            own = asker.role == "owner"
            chats = (asker.chat_id,) if own else self.owners(asker.channel)
            text = question(approval, "" if own else asker.name)
            found = []
            for chat in chats:
                conversation = conversations.ensure(db, asker.channel, chat)
                found.append(outbox.add(db, conversation, asker.channel, chat, None, text, buttons=buttons(approval)))
            return found

        await self._send(queue)

    async def announce(self, request: PairingAsked) -> None:
        """Tell the owners in their own chats on that channel that somebody wants to talk."""
        text = (
            f"**{visible(request.name) or 'Somebody'}** ({request.channel}, {request.user_id}) wants to talk to me."
            f"\n\n`/pair {request.code}` or `/pair deny {request.code}`"
        )
        choices = (
            Button("Let in", f"/pair {request.code}", "primary"),
            Button("Deny", f"/pair deny {request.code}", "danger"),
        )

        def queue(db: Connection) -> list[int]:
            found = []
            for chat in self.owners(request.channel):
                conversation = conversations.known(db, request.channel, chat)
                if conversation is not None:  # nobody is written to first: the transport would refuse it
                    found.append(outbox.add(db, conversation, request.channel, chat, None, text, buttons=choices))
            return found

        await self._send(queue)

    async def ask_person(self, question: Question) -> None:
        """Put a question of the model on its way to the chat that it works for; the desktop shows it as well."""

        def queue(db: Connection) -> list[int]:
            asker = turns.asker(db, question.turn_id)
            if asker is None or asker.channel == LOCAL:
                return []
            conversation = conversations.ensure(db, asker.channel, asker.chat_id)
            text, buttons = posed(question), choices(question)
            return [outbox.add(db, conversation, asker.channel, asker.chat_id, None, text, buttons=buttons)]

        await self._send(queue)

    async def _send(self, queue: Callable[[Connection], list[int]]) -> None:
        try:
            for outbox_id in await self.database.write(queue):
                self.deliver(outbox_id)
        except StorageError as error:
            log.error("a question could not be sent to its chat: %s", error)

    def waiting(self) -> str:
        """What waits for an answer, in Markdown."""
        found = [
            f"- `{code(approval)}`: {approval.title} `{approval.action[:200]}`" for approval in self.desk.pending()
        ]
        found += [f"- `{code(question)}`: {question.text[:200]}" for question in self.wanted.pending()]
        return "\n".join(found) or "Nothing waits for your answer."

    def answer(self, text: str, by: str, *, allow: bool) -> str:
        """`/allow CODE [always|conversation]` or `/deny CODE`. Raises `UsageError`."""
        wanted, _, how = text.strip().partition(" ")
        matching = [one for one in self.desk.pending() if wanted and code(one) == wanted.upper()]
        if not matching:
            raise UsageError(
                f"No question with the code {wanted or '(none)'} waits.",
                title="This question is over",
                hint="See /approvals for what waits.",
            )
        choice = _CHOICES.get(how.strip().lower()) if allow else "deny"
        if choice is None or not self.desk.resolve(matching[0].id, choice, by):
            raise UsageError(f"“{how.strip()}” is not offered here.", hint="Write `/allow CODE` for this one time.")
        return {"deny": "Denied.", "always": "Allowed, always.", "conversation": "Allowed in this conversation."}.get(
            choice, "Allowed, this time."
        )

    def reply(self, text: str, by: str, *, owner: bool) -> str:
        """`/answer CODE 2`, or words in place of the number. Raises `UsageError`, and `PolicyRefusedError` for somebody
        who is not asked."""
        wanted, _, said = text.strip().partition(" ")
        matching = [one for one in self.wanted.pending() if wanted and code(one) == wanted.upper()]
        if not matching:
            raise UsageError(
                f"No question with the code {wanted or '(none)'} waits.",
                title="This question is over",
                hint="Write what you want to say as a message.",
            )
        if not owner and matching[0].asker != by:
            raise PolicyRefusedError("This question is for somebody else.")
        if not self.wanted.answer(matching[0].id, said, by):
            hint = f"Write `/answer {code(matching[0])}` and what you answer."
            raise UsageError("There is no answer in that.", title="The answer is missing", hint=hint)
        return "Thank you."


def code(question: Approval | Question) -> str:
    """What a person types to mean this question."""
    return question.id[:_CODE_CHARS].upper()


def posed(question: Question) -> str:
    """A question of the model with all that can be answered, in Markdown; it can be answered without its buttons."""
    lines = [question.text]
    if question.choices:
        lines.append("\n".join(f"{number}. {choice}" for number, choice in enumerate(question.choices, 1)))
        lines.append(f"Answer with a number or in your own words here, or by `/answer {code(question)} 1`.")
    else:
        lines.append(f"Answer here, or by `/answer {code(question)}` and your words.")
    if question.sources:
        lines.append(f"Read before: {', '.join(question.sources)}.")
    return "\n\n".join(lines)


def choices(question: Question) -> tuple[Button, ...]:
    """A button for each answer that is offered."""
    return tuple(
        Button(choice, f"/answer {code(question)} {number}") for number, choice in enumerate(question.choices, 1)
    )


def buttons(approval: Approval) -> tuple[Button, ...]:
    """What can be pressed below a question; each says the same as the command in its text."""
    key = code(approval)
    accepting = approval.tool == "use_skill"  # allowing it once is accepting it as it is
    found = [Button("Accept" if accepting else "Allow once", f"/allow {key}", "primary")]
    if approval.session:
        found.append(Button("In this conversation", f"/allow {key} conversation"))
    if approval.always:
        found.append(Button("Always", f"/allow {key} always"))
    return (*found, Button("Deny", f"/deny {key}", "danger"))


def _fenced(text: str) -> str:
    """As code, whatever is in it: nothing in it may end the block and speak for us."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
    return f"{fence}\n{text}\n{fence}"


def question(approval: Approval, asker: str) -> str:
    """All of it in Markdown: what, why, what was read before, what can be answered."""
    lines = [f"**{approval.title}**" + (f" ({asker} asks)" if asker else ""), _fenced(approval.action)]
    if approval.reason:
        lines.append(f"Asked because {approval.reason.rstrip('.')}.")
    if approval.sources:
        lines.append(f"Read before: {', '.join(approval.sources)}.")
    lines.append("It can be undone." if approval.undoable else "It cannot be undone.")
    lines.append(f"`/allow {code(approval)}` or `/deny {code(approval)}`")
    if approval.session:
        lines.append(f"`/allow {code(approval)} conversation` permits here: {approval.session}.")
    if approval.always:
        lines.append(f"`/allow {code(approval)} always` permits: {approval.always}.")
    return "\n\n".join(lines)
