"""Questions to a person about one exact action each: asked durably, answered once, denied when nobody answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from agent.events import Approval, ApprovalAsked, ApprovalChoice, ApprovalResolved, Event
from agent.safety.effects import Effect, visible
from agent.safety.lookalikes import mark_lookalikes
from agent.safety.open_questions import STOPPED, TIMEOUT, OpenQuestions
from agent.safety.redact import mask_shapes

__all__ = ["STOPPED", "TIMEOUT", "Answer", "ApprovalDesk"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was decided, and by whom: a person's place ("desktop", "telegram:4242"), "timeout" or "stopped"."""

    choice: ApprovalChoice
    by: str


OnAsked = Callable[[Approval, str], Awaitable[None]]
"""Writes a question and its action hash down, before it is shown."""

OnDecided = Callable[[str, ApprovalChoice, str], Awaitable[None]]
"""Writes down how the question of this id was decided, and by whom, before anything happens."""


async def _keep_nothing(*_: object) -> None:
    """For a desk whose questions need not outlive the process."""


class ApprovalDesk:
    """All open questions; lives on the loop. `seconds` says how long a new one waits."""

    def __init__(
        self,
        publish: Callable[[Event], None],
        seconds: Callable[[], float],
        on_asked: OnAsked = _keep_nothing,
        on_decided: OnDecided = _keep_nothing,
    ) -> None:
        self._seconds = seconds
        self._on_asked = on_asked
        self._on_decided = on_decided
        self._open: OpenQuestions[Approval, Answer] = OpenQuestions(publish)

    async def ask(
        self,
        effect: Effect,
        *,
        tool: str,
        action_hash: str,
        reason: str,
        conversation_id: int,
        turn_id: int,
        call_id: str,
        session: str = "",
        sources: tuple[str, ...] = (),
        sandbox: str = "",
        scrub: Callable[[str], str] = str,
    ) -> Answer:
        """Ask and wait. Silence is a no. When the asking task is cancelled the question is withdrawn.

        What is shown is all that would happen, whatever a tool made of it: nothing in it hides, look-alikes are named.
        Keys are masked, those that only look like one to the beginning: it is to be seen that a key is in it, and an
        approval goes through messengers.
        """
        seconds = self._seconds()

        def shown(text: str) -> str:
            return mark_lookalikes(visible(mask_shapes(scrub(text))))

        approval = Approval(
            id=secrets.token_hex(8),
            conversation_id=conversation_id,
            turn_id=turn_id,
            call_id=call_id,
            tool=tool,
            title=shown(effect.title or effect.summary),
            action=shown(effect.action or effect.summary),
            reason=reason,
            undoable=effect.undoable,
            always=shown(effect.always.words) if effect.always else "",
            expires_at=time.time() + seconds,
            session=shown(session),
            sources=tuple(map(shown, sources)),
            sandbox=sandbox,
        )
        await self._on_asked(approval, action_hash)
        return await self._open.wait(
            approval,
            seconds,
            silence=Answer("deny", TIMEOUT),
            withdrawn=Answer("deny", STOPPED),
            asked=ApprovalAsked(approval),
            resolved=lambda answer: ApprovalResolved(approval, answer.choice, answer.by),
            note=partial(self._note, approval.id),
        )

    def resolve(self, approval_id: str, choice: ApprovalChoice, by: str) -> bool:
        """The first valid answer wins; False when it is decided, expired or unknown, or the choice is not offered."""
        approval = self._open.get(approval_id)
        if approval is None:
            return False
        offered = {"allow": True, "deny": True, "always": bool(approval.always), "conversation": bool(approval.session)}
        return offered.get(choice, False) and self._open.resolve(approval_id, Answer(choice, by))

    def pending(self) -> tuple[Approval, ...]:
        """Questions that wait, oldest first."""
        return self._open.pending()

    async def _note(self, approval_id: str, answer: Answer) -> None:
        await self._on_decided(approval_id, answer.choice, answer.by)
