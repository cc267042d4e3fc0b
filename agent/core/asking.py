"""Questions about actions, asked and answered in messengers: by a code that only an owner can use."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from sqlite3 import Connection

from agent.errors import StorageError, UsageError
from agent.events import Approval, ApprovalChoice
from agent.safety.approvals import ApprovalDesk
from agent.storage import conversations, outbox, turns
from agent.storage.conversations import LOCAL
from agent.storage.database import Database

log = logging.getLogger(__name__)

_CODE_CHARS = 6
_CHOICES: dict[str, ApprovalChoice] = {"": "allow", "once": "allow", "conversation": "conversation", "always": "always"}


@dataclass(slots=True)
class ChatQuestions:
    """Sends a question to the chat of the turn where an owner asked for it, else to the owners' own chats."""

    database: Database
    desk: ApprovalDesk
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
                found.append(outbox.add(db, conversation, asker.channel, chat, None, text))
            return found

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


def code(approval: Approval) -> str:
    """What a person types to mean this question."""
    return approval.id[:_CODE_CHARS].upper()


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
