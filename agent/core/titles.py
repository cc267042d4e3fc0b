"""Gives a new conversation a title of its own, when a model is chosen for that. Nobody waits for it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from agent.core.budget import Budget
from agent.errors import TrayClawError
from agent.events import ConversationChanged, Event, TurnFinished
from agent.providers.router import Router
from agent.providers.types import ChatRequest, system, user
from agent.storage import conversations, turns
from agent.storage.conversations import LOCAL
from agent.storage.database import Database

log = logging.getLogger(__name__)

_READ_CHARS: Final = 1500
_TITLE_CHARS: Final = 60


@dataclass(frozen=True, slots=True)
class Titles:
    """One call of the model `model.titles` for each new conversation of the window."""

    database: Database
    router: Router
    budget: Budget
    instructions: str
    publish: Callable[[Event], None]

    async def give(self, turn: TurnFinished) -> None:
        """After the first answer: replace the title that was made of the first words, unless a person chose one."""
        conversation_id = turn.conversation_id
        reference = self.router.reference_for("title", "")
        if not reference:
            return
        first = await self.database.read(lambda db: _first_question(db, conversation_id))
        if first is None:
            return
        question, automatic = first
        text = f"Person: {question[:_READ_CHARS]}\n\nYou: {turn.text[:_READ_CHARS]}"
        account = self.budget.account("title", conversation_id, LOCAL)
        try:
            answer = await self.router.complete(
                reference, ChatRequest("", (system(self.instructions), user(text)), max_tokens=200), account
            )
        except TrayClawError as error:  # the first words remain
            log.info("conversation %d got no title: %s", conversation_id, error)
            return
        title = _title(answer.text)
        if not title:
            return
        changed = await self.database.write(lambda db: conversations.retitle(db, conversation_id, automatic, title))
        if changed:
            self.publish(ConversationChanged(conversation_id))


def _first_question(db: sqlite3.Connection, conversation_id: int) -> tuple[str, str] | None:
    """The question and the automatic title of a conversation of one turn; None for any other."""
    conversation = conversations.get(db, conversation_id)
    views = turns.timeline(db, conversation_id, None, 2)
    if conversation is None or conversation.channel != LOCAL or len(views) != 1:
        return None
    question = views[0].question
    return (question, conversation.title) if conversation.title == conversations.first_words(question) else None


def _title(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    line = line.strip("\"'“”„*#` ").rstrip(".")
    return line if len(line) <= _TITLE_CHARS else line[: _TITLE_CHARS - 1].rstrip() + "…"
