"""AgentService: the composition root, and the one facade that the desktop and the command line hold."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Literal

from agent import logs
from agent.channels.channel import Inbound, Role
from agent.channels.connectors import CHANNEL_KEYS, CHANNEL_NAMES, Connectors
from agent.core.addresses import Addresses
from agent.core.asking import ChatQuestions
from agent.core.budget import Budget
from agent.core.commands import CommandDesk
from agent.core.compaction import Compactor
from agent.core.context import Prompt, Transcripts
from agent.core.deliveries import Deliveries
from agent.core.grants import Grants
from agent.core.history import History
from agent.core.intake import Intake
from agent.core.lanes import Lanes
from agent.core.ledger import Ledger
from agent.core.pins import Pins
from agent.core.post import PostOffice
from agent.core.questions import QuestionDesk
from agent.core.record import TurnRecorder
from agent.core.servers import ServerDesk
from agent.core.spending import Spending
from agent.core.subagent import Subagents
from agent.core.titles import Titles
from agent.core.turn import TurnRunner
from agent.core.voices import Voices
from agent.core.watch import FileWatch
from agent.errors import UsageError
from agent.events import (
    Approval,
    ApprovalAsked,
    ApprovalChoice,
    ConversationChanged,
    Event,
    EventBus,
    PairingAsked,
    Question,
    QuestionAsked,
    SettingsChanged,
    TurnFinished,
    TurnJoined,
    TurnNotice,
    TurnStarted,
)
from agent.keys import SecretStore
from agent.paths import Paths
from agent.providers import catalog
from agent.providers.model_files import ModelFiles
from agent.providers.router import Router
from agent.providers.types import Image, ModelInfo
from agent.safety.approvals import ApprovalDesk
from agent.safety.effects import one_line
from agent.safety.grants import Grant
from agent.safety.process import hide_environment
from agent.safety.sandbox.choose import Fences, prove
from agent.safety.web_client import WebClient
from agent.safety.workspace import Workspace
from agent.settings import QueueMode, SafetyMode, Settings, SettingsFile
from agent.skills.library import Skills
from agent.storage import approvals as approval_rows
from agent.storage import conversations, effects, inbox, messages, turns
from agent.storage import questions as question_rows
from agent.storage.conversations import LOCAL
from agent.storage.database import Database
from agent.storage.instance import Instance
from agent.tools import processes
from agent.tools.ask_user import ask_tool
from agent.tools.builtin import built_in_toolbox
from agent.tools.finding import Finder
from agent.tools.mcp import McpServers
from agent.tools.mcp_reach import McpParts, secret_names
from agent.tools.send_message import send_tool
from agent.tools.sessions import Sessions
from agent.tools.skills import skill_tools
from agent.tools.web import web_tools
from agent.views import (
    ChannelHealth,
    Conversation,
    Group,
    PairingRequest,
    Person,
    ProviderView,
    Receipt,
    SandboxView,
    TurnRow,
    TurnView,
    UndoReport,
)

log = logging.getLogger(__name__)

OWNER_NAME = "You"
SEARCH_KEYS = ("brave", "tavily")
"""Search engines that need a key."""
TIDY_SECONDS = 6 * 3600.0
"""Between looks at what is kept for undo."""


class AgentService:
    """All of the agent. Every method runs on the loop that `start` ran on; none blocks it."""

    def __init__(
        self,
        paths: Paths,
        file: SettingsFile,
        settings: Settings,
        database: Database,
        instance: Instance,
        prompt: Prompt,
    ) -> None:
        """Wire the parts together; nothing is started. Use `start`."""
        self.paths = paths
        self.events = EventBus()
        self.secrets = SecretStore(paths.secrets_file)
        self._file = file
        self._settings = settings
        self._settings_lock = asyncio.Lock()
        self._channel_lock = asyncio.Lock()  # the last click wins, however fast it follows
        self._workspace: tuple[tuple[Path, tuple[tuple[Path, bool], ...]], Workspace] | None = None
        self._database = database
        self._instance = instance
        publish = self.events.publish
        self._router = Router(lambda: self._settings, self.secrets)
        self._approvals = ApprovalDesk(
            publish, lambda: self._settings.safety.approval_seconds, self._note_question, self._note_decision
        )
        self._wanted = QuestionDesk(
            publish, lambda: self._settings.safety.approval_seconds, self._note_wanted, self._note_answer
        )
        self._grants = Grants(database, publish)
        self._fences = Fences()
        self._sessions = Sessions()
        self._web = WebClient(lambda: self._settings.network)
        self.skills = Skills(database, self.workspace, publish)
        ledger = Ledger(paths.data / "undo", lambda: self._settings.undo)
        self._history = History(database, ledger, lambda: self.workspace().root, self.busy_conversations)
        self._transcripts = Transcripts(database)
        budget = Budget(database, lambda: self._settings.budget, self._router.price, publish)
        self.spending = Spending(database, budget, lambda: publish(SettingsChanged(("budget",))))
        self._recorder = TurnRecorder(
            database, self._transcripts, lambda: self._settings, publish, instance.name, budget
        )
        self.model_files = ModelFiles(paths.data / "models", lambda: self._settings, self.change_settings, publish)
        self._titles = Titles(database, self._router, budget, prompt.title, publish)
        self._mcp = McpServers(
            McpParts(
                servers=lambda: self._settings.mcp,
                network=lambda: self._settings.network,
                workspace=self.workspace,
                fence=lambda: self._fences.get(self._settings.safety.sandbox),
                secret=self._stored,
                permitted=self._grants.has,
                pins=Pins(database, "mcp"),
                changed=lambda name: publish(SettingsChanged((f"mcp.{name}",))),
            )
        )
        self.servers = ServerDesk(self._mcp, self._grants, lambda: self._settings, self.change_settings)
        self._post = PostOffice(
            database,
            self.events,
            lambda outbox_id: self._connectors.deliver(outbox_id),
            lambda channel: self._connectors.is_connected(channel),
            self._read_again,
            paths.data / "outgoing",
        )
        toolbox = self._toolbox = built_in_toolbox(
            (
                *web_tools(lambda: self._settings, self._stored, self._web),
                ask_tool(self._wanted.ask),
                send_tool(Addresses(database, self._is_switched_on), self._post),
                *skill_tools(self.skills),
            ),
            lambda: (*finder.tools(), *self._mcp.tools()),
        )
        self._finder = finder = Finder(
            lambda: (tool for tool in (*toolbox.own, *self._mcp.tools()) if tool.deferred),
            self._mcp.names,
            self._mcp.ready,
        )
        runner = TurnRunner(
            recorder=self._recorder,
            router=self._router,
            toolbox=toolbox,
            finder=finder,
            outside=self._mcp,
            approvals=self._approvals,
            budget=budget,
            compactor=Compactor(
                database,
                self._router,
                budget,
                self._transcripts,
                lambda: self._settings.model.history_messages,
                prompt.summary,
            ),
            subagents=Subagents(self._router, toolbox, budget, prompt, lambda: self._settings, publish),
            prompt=prompt,
            settings=lambda: self._settings,
            workspace=self.workspace,
            grants=self._grants,
            fences=self._fences,
            ledger=ledger,
            skills=self.skills,
            sessions=self._sessions,
            scrub=self.secrets.redactor.scrub_known,
            publish=publish,
        )
        self._lanes = Lanes(runner.run, self._drop)
        runner.waiting = self._lanes
        desk = CommandDesk(
            database,
            self.stop_turn,
            self._forget,
            self._status_words,
            self._router.check_reference,
            self.spending,
            self.local_model,
            self._ask_refused_again,
            lambda conversation_id: self._history.undo(conversation_id=conversation_id),
            lambda: self._questions,
            self.resolve_pairing,
        )
        self._intake = Intake(
            database,
            self._lanes,
            desk,
            instance,
            publish,
            lambda: self._settings,
            lambda: self.workspace().root,
            self._wanted,
        )
        self._connectors = Connectors(
            database,
            self.secrets,
            lambda: self._settings,
            self._take_in,
            self.events,
            lambda: self.workspace().root,
        )
        self.deliveries = Deliveries(database, publish, self._connectors.deliver)
        self._voices = Voices(self._router.directory, budget, lambda: self._settings)
        self._questions = ChatQuestions(database, self._approvals, self._wanted, self._owners, self._connectors.deliver)
        self.events.subscribe(self._heard)
        self._watch = FileWatch(file.path, self.reload_settings)
        self._continued: set[int] = set()
        self._changed_meanwhile: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    # --- life -------------------------------------------------------------------------------------------------------
    @classmethod
    async def start(cls, paths: Paths, *, resident: bool = False) -> AgentService:
        """Open the database and be ready.

        `resident` (tray app, serve) also recovers interrupted work, starts the enabled channels in the background and
        refuses to run twice. Raises `ConfigError`, `StorageError`, `UsageError`.
        """

        def prepare() -> tuple[SettingsFile, Settings, Instance, Database]:
            hide_environment()
            paths.prepare()
            file = SettingsFile(paths.config_file)
            settings = file.load()
            instance = Instance(paths.data / "run")
            if resident and not instance.become_resident():
                instance.close()
                raise UsageError(
                    "Another TrayClaw is running with the same data.",
                    title="TrayClaw is already running",
                    hint="Use the one that runs, or quit it first.",
                )
            try:
                return file, settings, instance, Database.open(paths.database)
            except BaseException:
                instance.close()
                raise

        prompt_ready = asyncio.ensure_future(Prompt.load())
        try:
            file, settings, instance, database = await asyncio.to_thread(prepare)
        except BaseException:
            prompt_ready.cancel()
            raise
        service = cls(paths, file, settings, database, instance, await prompt_ready)
        logs.redact_with(service.secrets.redactor)
        if resident:
            try:
                await service._intake.recover()
                await service._connectors.open()
            except BaseException:
                await service.stop()
                raise
            service._keep(service._watch.run())
            service._keep(service._tidy())
            service._keep(_end_orphans())
        return service

    async def stop(self) -> None:
        """Stop channels and turns, write what is left, close everything. Safe to call twice."""
        if self._stopped:
            return
        self._stopped = True
        self._recorder.closing = True
        await self._lanes.close()
        await self._sessions.close()
        await self._connectors.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        await self._mcp.close()
        await self.model_files.aclose()
        await self._router.aclose()
        await self._web.aclose()
        self.secrets.close()
        await asyncio.to_thread(self._database.close)
        self._instance.close()

    @property
    def settings(self) -> Settings:
        """The settings as of now."""
        return self._settings

    async def change_settings(self, values: Mapping[str, Any]) -> Settings:
        """Write dotted keys ({"model.default": "openai/gpt-5"}; None removes) and publish `SettingsChanged`.

        Raises `ConfigError`; then nothing changed.
        """
        async with self._settings_lock:
            self._settings = await asyncio.to_thread(self._file.set, values)
            self._watch.accept()
        self.events.publish(SettingsChanged(tuple(values)))
        await self._mcp.follow()
        return self._settings

    async def reload_settings(self) -> Settings:
        """Read config.toml again after somebody else changed it. Raises `ConfigError`; then the old ones stay."""
        async with self._settings_lock:
            before = self._settings
            self._settings = await asyncio.to_thread(self._file.load)
        self.events.publish(SettingsChanged())
        await self._connectors.follow(before.channels, self._settings.channels)
        await self._mcp.follow()
        return self._settings

    def workspace(self) -> Workspace:
        """The folder that tools work in, as the settings name it now."""
        chosen = self._settings.tools.workspace
        root = Path(chosen).expanduser() if chosen else self.paths.workspace
        folders = tuple((Path(folder.path).expanduser(), folder.write) for folder in self._settings.safety.folders)
        if self._workspace is None or self._workspace[0] != (root, folders):
            own = (self.paths.config, self.paths.data, self.paths.cache)
            self._workspace = (root, folders), Workspace(root, own, but=self.paths.workspace, folders=folders)
        return self._workspace[1]

    # --- conversations ----------------------------------------------------------------------------------------------
    async def new_conversation(self, title: str = "") -> int:
        """A fresh local conversation."""
        name = uuid.uuid4().hex
        conversation_id = await self._database.write(lambda db: conversations.ensure(db, LOCAL, name, title))
        self.events.publish(ConversationChanged(conversation_id))
        return conversation_id

    async def local_conversation(self, name: str) -> int:
        """The local conversation of that name, created when new (`--conversation NAME`)."""
        return await self._database.write(lambda db: conversations.ensure(db, LOCAL, name, name))

    async def conversations(self, query: str = "", limit: int = 200) -> list[Conversation]:
        """Newest first; `query` matches titles and messages."""
        found = await self._database.read(lambda db: conversations.find(db, query, limit))
        busy = set(self._lanes.busy())
        return [row.with_busy() if row.id in busy else row for row in found]

    async def conversation(self, conversation_id: int) -> Conversation:
        """One conversation. Raises `UsageError` when it does not exist."""
        found = await self._database.read(lambda db: conversations.get(db, conversation_id))
        if found is None:
            raise UsageError(f"There is no conversation {conversation_id}.", hint="See `trayclaw conversations list`.")
        return found

    async def timeline(self, conversation_id: int, *, before: int | None = None, limit: int = 50) -> list[TurnView]:
        """The last `limit` turns, oldest first, waiting messages included; `before` is an inbox id, for paging."""
        return await self._database.read(lambda db: turns.timeline(db, conversation_id, before, limit))

    async def rename_conversation(self, conversation_id: int, title: str) -> None:
        """Give it another title."""
        await self._database.write(lambda db: conversations.rename(db, conversation_id, title))
        self.events.publish(ConversationChanged(conversation_id))

    async def delete_conversation(self, conversation_id: int) -> None:
        """Stop it and remove it for good; what it cost stays on the record."""
        await self.stop_turn(conversation_id)
        await self._sessions.drop(conversation_id)
        await self._database.write(lambda db: conversations.delete(db, conversation_id))
        self._forget(conversation_id)
        self.events.publish(ConversationChanged(conversation_id))

    async def set_conversation_model(self, conversation_id: int, model: str) -> None:
        """`provider/model`, or "" for the default. Raises `UsageError` for a provider that does not exist."""
        chosen = self._router.check_reference(model) if model else ""
        await self._database.write(lambda db: conversations.set_model(db, conversation_id, chosen))
        self.events.publish(ConversationChanged(conversation_id))

    # --- talking ----------------------------------------------------------------------------------------------------
    async def send(self, conversation_id: int, text: str, images: Sequence[Image] = (), *, model: str = "") -> int:
        """Commit a message of the local user and let its lane answer; returns the inbox id.

        Commands (/new, /stop, /model, /status, /help) are answered at once, and what a turn here asked is answered by
        the next message. What happens is told by events.
        """
        return await self._send(conversation_id, text, images, model=model)

    async def _send(
        self, conversation_id: int, text: str, images: Sequence[Image], *, model: str, may_reply: bool = True
    ) -> int:
        if model:
            self._router.check_reference(model)
        conversation = await self.conversation(conversation_id)
        inbound = Inbound(
            channel=conversation.channel,
            transport_id=uuid.uuid4().hex,
            chat_id=conversation.chat_id,
            sender_id="owner",
            sender_name=OWNER_NAME,
            text=text,
            images=tuple(images),
            sent_at=time.time(),
        )
        inbox_id = await self._intake.accept(inbound, "owner", model=model, may_reply=may_reply)
        assert inbox_id is not None, "a fresh transport id cannot be a repeat"
        return inbox_id

    async def converse(
        self, conversation_id: int, text: str, images: Sequence[Image] = (), *, model: str = ""
    ) -> AsyncGenerator[Event, None]:
        """Send, then yield the events of that message's turn; the last one is `TurnFinished`.

        Closing it early stops the turn.
        """
        if conversation_id not in self._continued:
            await self._intake.close_abandoned(conversation_id)
            self._continued.add(conversation_id)
        heard: asyncio.Queue[Event] = asyncio.Queue()
        unsubscribe = self.events.subscribe(heard.put_nowait, conversation_id)
        finished = False
        try:
            inbox_id = await self._send(conversation_id, text, images, model=model, may_reply=False)
            turn_id: int | None = None
            while not finished:
                event = await heard.get()
                if isinstance(event, TurnStarted | TurnJoined | TurnFinished) and event.inbox_id == inbox_id:
                    turn_id = event.turn_id
                if turn_id is None and isinstance(event, TurnNotice) and not event.turn_id:
                    yield event  # why it has not begun
                if turn_id is None or getattr(event, "turn_id", turn_id) != turn_id:
                    continue
                finished = isinstance(event, TurnFinished)
                yield event
        finally:
            unsubscribe()
            if not finished:
                await self.stop_turn(conversation_id)

    async def ask_again(self, conversation_id: int, inbox_id: int, *, model: str = "") -> int:
        """The same question with its pictures once more; returns the new inbox id. It stays that of who asked it first:
        what the agent may do for it does not change. Raises `UsageError`."""
        if model:
            self._router.check_reference(model)

        def take(db: Connection) -> inbox.Waiting | None:
            found = inbox.get(db, conversation_id, inbox_id)
            if found is not None and inbox.state_of(db, inbox_id) == "done":
                messages.take_back(db, inbox_id)
            return found

        asked = await self._database.write(take)
        if asked is None:
            raise UsageError("This message is no longer there.", hint="Ask it anew.")
        self._transcripts.forget(conversation_id)
        inbound = Inbound(
            channel=asked.channel,
            transport_id=uuid.uuid4().hex,
            chat_id=asked.chat_id,
            sender_id=asked.sender_id,
            sender_name=asked.sender_name,
            text=asked.message.text,
            images=tuple(part for part in asked.message.parts if isinstance(part, Image)),
            sent_at=time.time(),
        )
        again = await self._intake.accept(inbound, asked.sender_role, model=model, may_reply=False)
        assert again is not None, "a fresh transport id cannot be a repeat"
        return again

    async def stop_turn(self, conversation_id: int) -> bool:
        """End the running turn, what waits behind it and what runs in the background, within a second; whether there
        was anything."""
        ended = self._sessions.end(self._sessions.of(conversation_id))
        stopped, sessions = await asyncio.gather(self._lanes.stop(conversation_id), ended)
        # A turn that was about to start one did so before it heard of the stop.
        sessions += await self._sessions.end(self._sessions.of(conversation_id))
        return stopped or sessions > 0

    async def stop_all(self) -> int:
        """End all turns and all that runs in the background; in how many conversations there was something."""
        concerned = dict.fromkeys((*self._lanes.active(), *self._sessions.conversations()))
        return sum(await asyncio.gather(*(self.stop_turn(conversation) for conversation in concerned)))

    def busy_conversations(self) -> tuple[int, ...]:
        """Conversations in which a turn runs now."""
        return self._lanes.busy()

    # --- approvals --------------------------------------------------------------------------------------------------
    def pending_approvals(self) -> tuple[Approval, ...]:
        """The questions that wait for an answer."""
        return self._approvals.pending()

    async def resolve_approval(self, approval_id: str, choice: ApprovalChoice, by: str) -> bool:
        """The first valid answer wins; False when it was decided before, timed out or never existed."""
        return self._approvals.resolve(approval_id, choice, by)

    def pending_questions(self) -> tuple[Question, ...]:
        """What the model wants to know before it goes on."""
        return self._wanted.pending()

    async def answer_question(self, question_id: str, text: str, by: str) -> bool:
        """The first answer wins; the number of a choice stands for it. False when it says nothing, or the question is
        over. `by` is a person's place; "nobody" tells that there is no person to ask."""
        return self._wanted.answer(question_id, text, by)

    async def grants(self) -> list[Grant]:
        """What a person permitted for a conversation or for always, the newest first."""
        return await self._grants.every()

    async def revoke_grant(self, grant_id: int) -> bool:
        """Take a permission back; False when there is none."""
        return await self._grants.revoke(grant_id)

    async def sandbox_state(self, *, with_proof: bool = False) -> SandboxView:
        """The fence in force; with `with_proof` it is tried out, which takes a second."""
        sandbox = await self._fences.get(self._settings.safety.sandbox)
        if sandbox is None:
            off = self._settings.safety.sandbox == "off"
            return SandboxView("", "Switched off: every command asks." if off else "None here: every command asks.")
        proof: tuple[tuple[str, bool], ...] = ()
        if with_proof:
            fence = await asyncio.to_thread(self.workspace().fence)
            proof = await asyncio.to_thread(prove, sandbox, fence, Path.home())
        words = "Programs are fenced in by the operating system."
        if not sandbox.closes_network:
            words = "Programs write to the workspace only, but can read your files and use the network: each asks."
        return SandboxView(sandbox.name, words, proof)

    # --- models -----------------------------------------------------------------------------------------------------
    async def providers(self) -> list[ProviderView]:
        """The catalogue and the person's own providers; those with a key first."""
        return await self._router.directory.views()

    async def list_models(
        self,
        provider: str,
        *,
        key: str | None = None,
        base_url: str | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> list[ModelInfo]:
        """The models a provider offers, with unsaved values if given (the Test button). Spends no tokens.

        Raises `ProviderError`, `UsageError`.
        """
        return await self._router.directory.list_models(
            provider, key=key, base_url=base_url, protocol=protocol, headers=headers, query=query
        )

    async def find_local_models(self) -> list[ProviderView]:
        """Model servers on this computer that answer within 0.5 s; `note` lists their models."""
        return await self._router.directory.find_local()

    async def local_model(self) -> str:
        """The reference of a model on this computer: of a server that runs, else the built-in one."""
        return await self._router.directory.local_model()

    async def set_key(self, name: str, key: str) -> None:
        """Store the key of a provider or the token of a channel. Raises `SecretError`."""
        await self.secrets.set(secret_user(name), key)
        self._router.directory.forget(name)
        self.events.publish(SettingsChanged((f"keys.{name}",)))

    async def delete_key(self, name: str) -> None:
        """Remove the key of a provider or the token of a channel. Raises `SecretError`."""
        await self.secrets.delete(secret_user(name))
        self._router.directory.forget(name)
        self.events.publish(SettingsChanged((f"keys.{name}",)))

    async def stored_keys(self) -> list[str]:
        """Names of providers and channels that have a key."""
        names = [*catalog.names(), *self._settings.providers, *CHANNEL_KEYS, *SEARCH_KEYS]
        names += secret_names(self._settings.mcp)
        users = await self.secrets.known(secret_user(name) for name in dict.fromkeys(names))
        return [user.partition(":")[2] for user in users]

    # --- channels and people ----------------------------------------------------------------------------------------
    def channels(self) -> tuple[ChannelHealth, ...]:
        """All channels and how they are."""
        return self._connectors.health()

    def look_for_tokens(self) -> None:
        """Find out in the background which channels have a token; told by `ChannelChanged`, seen in `channels()`."""
        self._connectors.look_for_tokens()

    async def start_channel(self, name: str) -> None:
        """Connect now and at every start from now on. Its health is told by `ChannelChanged`. Raises `UsageError`."""
        _check_channel(name)
        async with self._channel_lock:
            await self.change_settings({f"channels.{name}.enabled": True})
            await self._connectors.restart(name)

    async def stop_channel(self, name: str) -> None:
        """Disconnect, and do not start it with the app any more. Raises `UsageError`."""
        _check_channel(name)
        async with self._channel_lock:
            await self.change_settings({f"channels.{name}.enabled": False})
            await self._connectors.stop(name)

    async def test_channel(self, name: str, token: str | None = None, *, key: str = "") -> str:
        """Ask the service who the token belongs to ("@my_bot"): the stored one, or `token` in place of the one of the
        name `key` (of channels that need several). Raises `ChannelError`, `UsageError`."""
        _check_channel(name)
        return await self._connectors.identify(name, {} if token is None else {key or name: token})

    async def pairing_requests(self) -> list[PairingRequest]:
        """People who asked to talk and wait for an answer."""
        return await self._connectors.access.requests()

    async def resolve_pairing(self, code: str, approve: bool) -> Person | None:
        """The person who may talk now, None when denied. Raises `UsageError` for an unknown or expired code."""
        return await self._connectors.access.decide(code, approve)

    async def people(self) -> list[Person]:
        """Everybody who may talk to the agent besides the local user."""
        return await self._connectors.access.people()

    async def groups(self) -> list[Group]:
        """Groups in which members are answered; an owner enables one by `/enable` in it."""
        return await self._connectors.access.groups()

    async def disable_group(self, channel: str, group_id: str) -> bool:
        """Answer nobody there any more; False when it was not enabled."""
        return await self._connectors.access.disable_group(channel, group_id)

    async def set_conversation_modes(
        self,
        conversation_id: int,
        *,
        queue: QueueMode | Literal[""] | None = None,
        safety: SafetyMode | Literal[""] | None = None,
    ) -> None:
        """How messages wait in a conversation and how much happens unasked there; "" as the settings say, None as it
        is."""
        await self._database.write(lambda db: conversations.set_modes(db, conversation_id, queue=queue, safety=safety))
        self.events.publish(ConversationChanged(conversation_id))

    async def revoke(self, channel: str, user_id: str) -> bool:
        """Take a paired person's access away; False when there was none."""
        return await self._connectors.access.revoke(channel, user_id)

    # --- record -----------------------------------------------------------------------------------------------------
    async def turns(self, limit: int = 20) -> list[TurnRow]:
        """Newest first."""
        return await self._database.read(lambda db: turns.recent(db, limit))

    async def turn(self, turn_id: int) -> tuple[TurnView, list[Mapping[str, Any]]]:
        """A turn and its receipt. Raises `UsageError` when it does not exist."""
        view = await self._database.read(lambda db: turns.view(db, turn_id))
        if view is None:
            raise UsageError(f"There is no turn {turn_id}.", hint="See `trayclaw turns list`.")
        return view, await self._database.read(lambda db: effects.of_turn(db, turn_id))

    async def receipt(self, turn_id: int) -> Receipt:
        """Everything a turn did, in order. Raises `UsageError` when it does not exist."""
        return await self._history.receipt(turn_id)

    async def undo(self, turn_id: int | None = None, *, rewind: bool = False, dry_run: bool = False) -> UndoReport:
        """Take back what a turn did to files, by default the last one that did something; `rewind`: and every later one
        of its conversation. With a conflict nothing is touched. Raises `UsageError`."""
        return await self._history.undo(turn_id, rewind=rewind, dry_run=dry_run)

    # --- inside -----------------------------------------------------------------------------------------------------
    def _forget(self, conversation_id: int) -> None:
        """What a conversation begins anew without."""
        self._transcripts.forget(conversation_id)
        self._finder.forget(conversation_id)

    async def _stored(self, name: str) -> str | None:
        return await self.secrets.get(secret_user(name))

    async def _note_question(self, approval: Approval, action_hash: str) -> None:
        await self._database.write(lambda db: approval_rows.asked(db, approval, action_hash))

    async def _note_decision(self, approval_id: str, choice: ApprovalChoice, by: str) -> None:
        await self._database.write(lambda db: approval_rows.decided(db, approval_id, choice, by))

    async def _note_wanted(self, question: Question) -> None:
        await self._database.write(lambda db: question_rows.asked(db, question))

    async def _note_answer(self, question_id: str, answer: str, by: str) -> None:
        await self._database.write(lambda db: question_rows.answered(db, question_id, answer, by))

    async def _tidy(self) -> None:
        while True:
            await asyncio.to_thread(self._history.ledger.tidy)
            await self._post.tidy()
            await asyncio.sleep(TIDY_SECONDS)

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask_refused_again(self, conversation_id: int) -> bool:
        inbox_id = await self._database.read(lambda db: turns.refused_question(db, conversation_id))
        if inbox_id is None:
            return False
        self._keep(self._again(conversation_id, inbox_id))  # after the answer to the command that asks for it
        return True

    async def _again(self, conversation_id: int, inbox_id: int) -> None:
        await self.ask_again(conversation_id, inbox_id)

    def _read_again(self, conversation_id: int) -> None:
        """Something was added to a conversation; a turn that runs in it goes on with what it knows."""
        if conversation_id in self._lanes.busy():
            self._changed_meanwhile.add(conversation_id)
        else:
            self._transcripts.forget(conversation_id)

    def _is_switched_on(self, channel: str) -> bool:
        return bool(getattr(getattr(self._settings.channels, channel, None), "enabled", False))

    def _owners(self, channel: str) -> tuple[str, ...]:
        """Their private chats, which bear their own ids."""
        return tuple(str(owner) for owner in getattr(self._settings.channels, channel).owners)

    def _heard(self, event: Event) -> None:
        if isinstance(event, ApprovalAsked):
            self._keep(self._questions.ask(event.approval))
        if isinstance(event, PairingAsked):
            self._keep(self._questions.announce(event))
        if isinstance(event, QuestionAsked):
            self._keep(self._questions.ask_person(event.question))
        if isinstance(event, TurnFinished) and event.conversation_id in self._changed_meanwhile:
            self._changed_meanwhile.discard(event.conversation_id)
            self._transcripts.forget(event.conversation_id)
        if self._settings.model.titles and isinstance(event, TurnFinished) and event.status == "answered":
            self._keep(self._titles.give(event))

    async def _take_in(self, inbound: Inbound, role: Role) -> int | None:
        if bool(inbound.files) and await self._database.read(
            lambda db: inbox.came(db, inbound.channel, inbound.transport_id)
        ):
            return None  # delivered once more: nothing is heard, and paid for, twice
        return await self._intake.accept(await self._voices.hear(inbound), role)

    async def _drop(self, item: Any) -> None:
        await self._intake.drop(item)

    async def _status_words(self, conversation_id: int) -> str:
        conversation = await self.conversation(conversation_id)
        today, month, *_ = await self.spending.limits()
        running = "working on it" if conversation_id in self._lanes.busy() else "nothing runs here"
        spent = ", ".join(f"${limit.spent:.2f} of ${limit.limit:.2f} {limit.label}" for limit in (today, month))
        model = conversation.model or self._settings.model.default
        background = [one for one in self._sessions.of(conversation_id) if one.runs]
        lines = "".join(f"\n- In the background: `{one_line(one.command)}`, {one.state()}" for one in background)
        return f"- Model: `{model}`\n- Now: {running}{lines}\n- Spent: {spent}"


async def _end_orphans() -> None:
    count = await asyncio.to_thread(processes.end_orphans)
    if count:
        log.info("ended %d processes that an earlier run had left", count)


def secret_user(name: str) -> str:
    """Where the keyring keeps the key of a provider or the token of a channel."""
    return f"channel:{name}" if name in CHANNEL_KEYS else f"provider:{name}"


def _check_channel(name: str) -> None:
    if name not in CHANNEL_NAMES:
        raise UsageError(f"There is no channel {name}.", hint=f"There is: {', '.join(CHANNEL_NAMES)}.")
