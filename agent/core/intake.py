"""The way in: a message is recognised, committed and put into its lane; commands are answered beside the lanes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from sqlite3 import Connection
from typing import Literal

from agent.channels.channel import Inbound, Role
from agent.core import commands, cutoff
from agent.core.commands import CommandDesk
from agent.core.lanes import Lanes
from agent.core.questions import QuestionDesk
from agent.core.record import describe
from agent.errors import StorageError, TrayClawError
from agent.events import ConversationChanged, Event, Failure, MessageReceived, TurnFinished, TurnStatus
from agent.providers.types import Image, Message, Text, Usage
from agent.settings import QueueMode, Settings
from agent.storage import approvals, conversations, effects, inbox, messages, outbox, questions, turns
from agent.storage.conversations import LOCAL
from agent.storage.database import Database
from agent.storage.inbox import Waiting
from agent.storage.instance import Instance

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Intake:
    """Takes messages in. Nothing a person wrote is acknowledged before it is committed."""

    database: Database
    lanes: Lanes
    desk: CommandDesk
    instance: Instance
    publish: Callable[[Event], None]
    settings: Callable[[], Settings]
    workspace: Callable[[], Path]
    questions: QuestionDesk
    _accepting: set[asyncio.Task[int | None]] = field(default_factory=set)

    async def accept(self, inbound: Inbound, role: Role, *, model: str = "", may_reply: bool = True) -> int | None:
        """Commit a message and let it be answered; its inbox id, or None when it came before. While the turn of its
        conversation waits for an answer of this sender, it is that answer (unless `may_reply` is off).

        A caller that is cancelled meanwhile does not leave it committed and without a turn.
        """
        task = asyncio.create_task(self._accept(_readable(inbound), role, model, may_reply))
        self._accepting.add(task)
        task.add_done_callback(self._accepted)
        return await asyncio.shield(task)

    def _accepted(self, task: asyncio.Task[int | None]) -> None:
        self._accepting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a message was not accepted: %s", error)  # whoever still waits for it is told

    async def _accept(self, inbound: Inbound, role: Role, model: str, may_reply: bool = False) -> int | None:
        if inbound.edits:
            return await self._reword(inbound, role)
        message = Message("user", (Text(_with_files(inbound, self.workspace())), *inbound.images))
        command = _command(message)

        conversation_id, inbox_id, queue = await self.database.write(partial(self._add, inbound, role, message, model))
        if inbox_id is None:
            return None
        if may_reply and command is None and self._replies(inbound, role, conversation_id):
            await self.database.write(lambda db: inbox.finish(db, inbox_id))
            return inbox_id
        self.publish(MessageReceived(conversation_id, inbox_id, inbound.text, inbound.sender_name))
        item = _waiting(inbound, role, message, model, conversation_id, inbox_id)
        item = replace(item, queue=queue or self.settings().turn.queue)
        if command is None:
            self.lanes.put(item)
        else:
            await self._answer_command(item, command)
        return inbox_id

    def _add(
        self, inbound: Inbound, role: Role, message: Message, model: str, db: Connection
    ) -> tuple[int, int | None, QueueMode | Literal[""]]:
        """(conversation, inbox id or None for what came before, the conversation's own queue mode)."""
        conversation_id = conversations.ensure(db, inbound.channel, inbound.chat_id, inbound.title)
        inbox_id = inbox.add(
            db,
            conversation_id=conversation_id,
            channel=inbound.channel,
            transport_id=inbound.transport_id,
            chat_id=inbound.chat_id,
            sender_id=inbound.sender_id,
            sender_name=inbound.sender_name,
            sender_role=role,
            message=message,
            model=model,
            owner=self.instance.name,
        )
        if inbox_id is not None and _command(message) is None:
            conversations.touch(db, conversation_id, inbound.text)
        return conversation_id, inbox_id, conversations.queue_mode(db, conversation_id)

    async def _reword(self, inbound: Inbound, role: Role) -> int | None:
        """A person edited what they wrote: before its turn that is what is answered, afterwards it is asked anew if
        nothing was done yet; else they are told."""
        chain = await self.database.read(lambda db: inbox.wordings(db, inbound.channel, inbound.edits))
        if not chain or chain[0][0].sender_id != inbound.sender_id:
            return None
        item, state = chain[-1]
        files = [line for line in item.message.text.split("\n") if line.startswith("[file: ")]
        text = "\n\n".join(part for part in (inbound.text, "\n".join(files)) if part)
        if item.message.text == text:
            return None  # a preview of a link came, or the like
        message = Message("user", (Text(text), *item.message.parts[1:]))
        if state == "waiting" and await self._reword_waiting(item, message):
            return None
        if not await self.database.read(lambda db: inbox.is_last(db, item.conversation_id, item.id)):
            return None  # what came after it was said with the old wording in view
        await self.lanes.interrupt(item.conversation_id, item.id)

        def take(db: Connection) -> Literal["again", "too late", "old"]:
            done = [turn for one, _ in chain if (turn := turns.of_message(db, one.id)) is not None]
            if not done or turns.is_joined(db, done[-1]):
                return "old"
            if any(effects.changed(db, turn_id) for turn_id in done):
                return "too late"
            messages.take_back(db, item.id, answered=True)
            return "again"

        taken = await self.database.write(take)
        images = tuple(part for part in item.message.parts if isinstance(part, Image))
        again = replace(inbound, text=text, edits="", images=images, files=())
        if taken == "old":
            return None
        if taken == "too late":
            words = "I had already acted on what you wrote first. Tell me in a new message what should change."
            return await self._tell_about(again, role, words)
        self.desk.forget(item.conversation_id)
        return await self._accept(again, role, item.model)

    async def _reword_waiting(self, item: Waiting, message: Message) -> bool:
        """Before its turn it is what is answered; False when it does not wait any more."""
        if not await self.database.write(lambda db: inbox.replace(db, item.id, message)):
            return False
        command = _command(message)
        if command is not None and self.lanes.withdraw(item.id, item.conversation_id) is not None:
            await self._answer_command(replace(item, message=message), command)
        else:
            self.lanes.reword(item.id, item.conversation_id, message)
        self.publish(ConversationChanged(item.conversation_id))
        return True

    async def _tell_about(self, inbound: Inbound, role: Role, words: str) -> int | None:
        """Commit a message that no model is asked about, and what is answered."""
        message = Message("user", (Text(inbound.text),))
        conversation_id, inbox_id, _ = await self.database.write(partial(self._add, inbound, role, message, ""))
        if inbox_id is not None:
            await self._close(_waiting(inbound, role, message, "", conversation_id, inbox_id), "answered", words, None)
        return inbox_id

    def _replies(self, inbound: Inbound, role: Role, conversation_id: int) -> bool:
        """Whether it was the answer to what the running turn wants to know; one with pictures or files is none."""
        if inbound.images or inbound.files:
            return False
        sender = f"{inbound.channel}:{inbound.sender_id}"
        question = self.questions.of(conversation_id, sender, owner=role == "owner")
        return question is not None and self.questions.answer(question.id, inbound.text, sender)

    async def drop(self, item: Waiting) -> None:
        """A person stopped a message before its turn began: say so in its place."""
        try:
            await self._close(item, "stopped", "", None)
        except StorageError as error:
            log.error("the message %d could not be put down as stopped: %s", item.id, error)
            self._tell(item, 0, "stopped", "", None, None)

    async def recover(self) -> None:
        """After a start: answer what waits, and what a crash interrupted before it had done anything.

        A turn that had acted is not repeated: it is shown as interrupted with what it had done.
        """
        unfinished = await self.database.read(inbox.unfinished)
        lost = [(item, state) for item, state, owner in unfinished if not self.instance.is_alive(owner)]
        for item, state in lost:
            queue = await self.database.write(partial(self._recover_one, item=item, state=state))
            command = _command(item.message)
            if queue is not None and command is not None:
                await self._answer_command(item, command)
            elif queue is not None:
                self.lanes.put(replace(item, queue=queue or self.settings().turn.queue))
            self.publish(ConversationChanged(item.conversation_id))

    async def close_abandoned(self, conversation_id: int) -> None:
        """Show as interrupted what a process that is gone left unanswered in this conversation."""
        unfinished = await self.database.read(inbox.unfinished)
        for item, _, owner in unfinished:
            if item.conversation_id == conversation_id and not self.instance.is_alive(owner):
                await self.database.write(partial(self._interrupt, item=item))
                self.desk.forget(conversation_id)

    def _recover_one(self, db: Connection, item: Waiting, state: str) -> QueueMode | Literal[""] | None:
        """The conversation's own queue mode if it is to be answered from the beginning, else None."""
        if inbox.state_of(db, item.id) != state:
            return None  # another process was faster, or it was part of a turn that had acted
        if state == "working":
            turn_id = turns.running_of(db, item.id)
            if turn_id is not None and effects.happened(db, turn_id):
                self._interrupt(db, item)
                return None
            if turn_id is not None:
                turns.discard(db, turn_id)
        inbox.release(db, item.id, self.instance.name)
        return conversations.queue_mode(db, item.conversation_id)

    def _interrupt(self, db: Connection, item: Waiting) -> None:
        if inbox.state_of(db, item.id) not in ("waiting", "working"):
            return  # another process was faster
        turn_id = turns.running_of(db, item.id)
        if turn_id is None:
            turn_id = turns.begin(db, item.conversation_id, item.id, item.model)
            messages.append(db, item.conversation_id, turn_id, [item.message])
        done = effects.happened(db, turn_id)
        approvals.withdraw(db, turn_id)
        questions.withdraw(db, turn_id)
        did = "It had begun with: " + "; ".join(done) + "." if done else "It had not done anything yet."
        failure = Failure(
            "interrupted",
            "Interrupted",
            f"TrayClaw was closed in the middle of this. {did}",
            "Check what is there, then ask again." if done else "Ask again.",
        )
        said = messages.of_turns(db, [turn_id])[turn_id]
        messages.append(db, item.conversation_id, turn_id, cutoff.results(said, effects.of_turn(db, turn_id)))
        turns.finish(db, turn_id, "interrupted", failure=failure)
        for other in inbox.taken_along(db, item.id):
            turns.close_joined(db, other, "interrupted")
        inbox.finish(db, item.id)
        if item.channel != LOCAL:
            words = f"**{failure.title}.** {failure.message} {failure.hint}"
            outbox.add(db, item.conversation_id, item.channel, item.chat_id, turn_id, words)

    async def _answer_command(self, item: Waiting, command: commands.Command) -> None:
        failure = None
        try:
            sender = f"{item.channel}:{item.sender_id}"
            text = await self.desk.answer(item.conversation_id, command, item.sender_role, sender)
        except TrayClawError as error:
            text, failure = "", describe(error)
        await self._close(item, "failed" if failure else "answered", text, failure)

    async def _close(self, item: Waiting, status: TurnStatus, text: str, failure: Failure | None) -> None:
        """Commit a turn that no model had a part in."""

        def commit(db: Connection) -> tuple[int, int | None]:
            turn_id = turns.begin(db, item.conversation_id, item.id, "")
            if text:
                messages.append(db, item.conversation_id, turn_id, [Message("notice", (Text(text),))])
            turns.finish(db, turn_id, status, failure=failure)
            inbox.finish(db, item.id)
            reply = text or (f"{failure.title}. {failure.message} {failure.hint}" if failure else "")
            if item.channel == LOCAL or not reply:
                return turn_id, None
            return turn_id, outbox.add(db, item.conversation_id, item.channel, item.chat_id, turn_id, reply)

        turn_id, outbox_id = await self.database.write(commit)
        self._tell(item, turn_id, status, text, failure, outbox_id)

    def _tell(
        self, item: Waiting, turn_id: int, status: TurnStatus, text: str, failure: Failure | None, outbox_id: int | None
    ) -> None:
        self.publish(
            TurnFinished(
                item.conversation_id,
                turn_id,
                status,
                text,
                "",
                Usage(),
                0.0,
                0.0,
                failure,
                inbox_id=item.id,
                outbox_id=outbox_id,
            )
        )


def _command(message: Message) -> commands.Command | None:
    """The command that a message is; one with pictures is none."""
    return commands.parse(message.text) if len(message.parts) == 1 else None


def _waiting(
    inbound: Inbound, role: Role, message: Message, model: str, conversation_id: int, inbox_id: int
) -> Waiting:
    return Waiting(
        inbox_id,
        conversation_id,
        inbound.channel,
        inbound.chat_id,
        inbound.sender_id,
        inbound.sender_name,
        role,
        message,
        model,
        inbound.sent_at,
    )


def _with_files(inbound: Inbound, workspace: Path) -> str:
    """The text, with a line for each file that came along: where it lies, what it is."""
    lines = []
    for file in inbound.files:
        path = file.path.relative_to(workspace) if workspace in file.path.parents else file.path
        lines.append(f"[file: {path.as_posix()} ({file.media_type or 'unknown kind'}, {size_words(file.size)})]")
    return "\n\n".join(part for part in (inbound.text, "\n".join(lines)) if part)


def size_words(size: int) -> str:
    """Bytes as people read them."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1000:.0f} kB" if size < 1_000_000 else f"{size / 1e6:.1f} MB"


def _readable(inbound: Inbound) -> Inbound:
    """Without lone surrogates: neither the database nor a server takes them."""
    name, title = _utf8(inbound.sender_name), _utf8(inbound.title)
    return replace(inbound, text=_utf8(inbound.text), sender_name=name, title=title)


def _utf8(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
