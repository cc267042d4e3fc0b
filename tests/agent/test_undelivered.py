"""An answer that does not arrive is seen, and sent again when a person says so: in the app and from a terminal."""

from __future__ import annotations

import asyncio
import json

from agent.channels.channel import Inbound
from agent.events import TurnFinished
from agent.service import AgentService
from tests.agent.conftest import Heard, until
from tests.agent.test_channel_service import OWNER, api, serving, trayclaw
from tests.peers.model_server import ModelServer
from tests.peers.replies import Reply
from tests.peers.telegram_api import TelegramApi

__all__ = ["api"]


async def test_an_undelivered_answer_is_listed_and_sent_again(api: TelegramApi, model: ModelServer) -> None:
    go_on = asyncio.Event()
    model.script = Reply("The answer.", before=go_on)
    async with serving(api):
        await api.say(OWNER, "hello")
        await model.wait_for_chats()
        api.block(OWNER)
        go_on.set()

        async def listed() -> list[dict[str, object]]:
            code, out = await trayclaw("channels", "undelivered", "--json")
            assert code == 0, out
            return [json.loads(line) for line in out.splitlines()]

        await until(lambda: _any(listed), 20)
        [row] = await listed()
        assert (row["channel"], row["text"]) == ("telegram", "The answer.")
        assert "blocked" in str(row["error"])
        api.unblock(OWNER)
        code, out = await trayclaw("channels", "resend", str(row["outbox_id"]))
        assert (code, out) == (0, "It is tried again within seconds.\n")
        await api.wait_for_reply(OWNER, lambda one: one.text == "The answer.", 20)
        assert (await trayclaw("channels", "undelivered"))[1] == "Everything arrived.\n"
        code, out = await trayclaw("channels", "resend", str(row["outbox_id"]))
        assert code == 2 and "No undelivered answer" in out


async def _any(listed: object) -> bool:
    return bool(await listed())  # type: ignore[operator]


async def test_the_list_can_be_cleared(service: AgentService, model: ModelServer, heard: Heard) -> None:
    model.script = Reply("Nobody hears this.")
    inbound = Inbound("telegram", "1", "7", "7", "Ada", "hello")
    await service._intake.accept(inbound, "owner")
    finished = await heard.wait(TurnFinished)
    assert finished.outbox_id is not None
    from agent.storage import outbox

    await service._database.write(lambda db: outbox.mark_failed(db, finished.outbox_id or 0, "They blocked us."))
    [row] = await service.deliveries.undelivered()
    assert (row.text, row.error) == ("Nobody hears this.", "They blocked us.")
    assert await service.deliveries.give_up(row.outbox_id)
    assert not await service.deliveries.resend(row.outbox_id)
    assert await service.deliveries.undelivered() == []
    [view] = await service.timeline(finished.conversation_id)
    assert view.delivery == ""
