"""The one way to every tool: validate, decide, ask, note, run, note. No failure of a tool ends a turn."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

from agent.errors import ToolError, TrayClawError
from agent.events import Event, ToolCalled, ToolFinished
from agent.providers.types import ToolCall, ToolResult, ToolSpec
from agent.safety.approvals import TIMEOUT, ApprovalDesk
from agent.safety.effects import Effect, one_line
from agent.safety.grants import Rule
from agent.safety.host_gate import HostGate
from agent.safety.policy import Decision, PolicyContext, ProposedCall, decide
from agent.safety.quoting import quote_untrusted
from agent.safety.redact import mask_shapes, readings
from agent.safety.rules import session_rule, standing_rule
from agent.safety.sandbox import Sandbox
from agent.safety.taint import Taint
from agent.safety.workspace import Workspace
from agent.tools import enclosures
from agent.tools.clip import clip
from agent.tools.environment import child_environment
from agent.tools.sessions import Sessions
from agent.tools.tool import Errand, Outcome, Tool, ToolContext

if TYPE_CHECKING:
    from agent.channels.channel import Role
    from agent.settings import SafetyMode

log = logging.getLogger(__name__)

EffectState = Literal["done", "failed", "denied"]
RecordBegin = Callable[[str, str, str, str, Mapping[str, Any]], Awaitable[int]]
"""(call id, tool, kind, summary, detail) -> effect id, committed when it returns."""
RecordEnd = Callable[[int, EffectState, float, Mapping[str, Any]], Awaitable[None]]
"""(effect id, state, seconds, detail)."""


class GrantBook(Protocol):
    """What a person permitted beyond one call."""

    async def valid(self, conversation_id: int) -> tuple[Rule, ...]:
        """The rules that count in a conversation."""
        ...

    async def add(self, rule: Rule, conversation_id: int | None, by: str) -> None:
        """Permit it, everywhere or in one conversation."""
        ...

    async def used(self, rule: Rule, conversation_id: int) -> None:
        """Something ran because of it."""
        ...


class EffectLedger(Protocol):
    """Notes what effects do to files. Methods block."""

    def before(self, effect: Effect, workspace: Workspace) -> Any:
        """Right before an effect. Raises `OSError` when it could not be undone for lack of space."""
        ...

    def after(self, snapshot: Any) -> dict[str, Any]:
        """Right after it: for the receipt."""
        ...


SIDE_BY_SIDE = ("read", "fetch", "delegate", "find")
"""Kinds of tools that neighbours of one reply run in parallel."""
FINISH_SECONDS = 0.8
"""How long a stopped call may take to come to a clean end (Stop has one second)."""
STOPPED = "Stopped by the person."
CHANGES_THINGS = ("write", "execute", "use")
"""Kinds of effects of which a turn has one at a time, whoever wants them: undo must know whose a change was."""


class _StoppedError(asyncio.CancelledError):
    """A call was stopped that has something to show nevertheless."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class CallScope:
    """The turn that a call belongs to, and what it may use.

    `pause` is entered while a person is asked, so that the wait does not count as the turn's time. `scrub` takes known
    secrets out of what the model is shown. `output` gets the pieces that a running tool prints (call id, text). `taint`
    collects what the turn reads, `grants` knows what a person permitted, `sandbox` fences programs in (None: there is
    none). `names` limits the tools (a subagent has fewer). `asker` and `here` are as in `ToolContext`. `delegate` runs
    a subagent for one call of this scope. In the scope of a subagent `parent` is the call that started it and `agent`
    what it is called. `alone` is held while something changes files, so that each effect's changes are its own.
    `sessions` are the programs in the background, `gate` makes the way of a fenced program to a few hosts.
    """

    conversation_id: int
    turn_id: int
    sender_role: Role
    mode: SafetyMode
    workspace: Workspace
    publish: Callable[[Event], None]
    approvals: ApprovalDesk
    record_begin: RecordBegin
    record_end: RecordEnd
    command_seconds: float = 120.0
    max_chars: int = 30_000
    pause: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext
    scrub: Callable[[str], str] = str
    output: Callable[[str, str], None] = lambda call_id, text: None
    taint: Taint = field(default_factory=Taint)
    grants: GrantBook | None = None
    sandbox: Sandbox | None = None
    ledger: EffectLedger | None = None
    names: frozenset[str] | None = None
    sessions: Sessions = field(default_factory=Sessions)
    gate: Callable[[Sequence[str]], HostGate] = HostGate
    asker: str = ""
    here: str = ""
    delegate: Callable[[CallScope, str, Errand], Awaitable[Outcome]] | None = None
    parent: str = ""
    agent: str = ""
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    def call_id(self, call: ToolCall) -> str:
        """By which events and receipts know a call: those of a subagent begin with the call that started it."""
        return f"{self.parent}/{call.id}" if self.parent else call.id

    def context(self, call_id: str) -> ToolContext:
        """What the tool function of one call is given."""
        return ToolContext(
            self.workspace,
            self.conversation_id,
            self.turn_id,
            call_id,
            self.command_seconds,
            self.max_chars,
            lambda text: self.output(call_id, text),
            child_environment,
            sandbox=self.sandbox,
            sender_role=self.sender_role,
            asker=self.asker,
            here=self.here,
            sources=tuple(self.taint.sources),
            delegate=None if self.delegate is None else partial(self.delegate, self, call_id),
            scrub=self.scrub,
            sessions=self.sessions,
            gate=self.gate,
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that could run: valid arguments, what it would do, and the hash an approval is bound to."""

    tool: Tool
    arguments: Mapping[str, Any]
    effect: Effect
    action_hash: str


class Toolbox:
    """The tools of one agent: those it was made with, and `outside` ones that come and go (MCP servers)."""

    def __init__(self, tools: Iterable[Tool], outside: Callable[[], Iterable[Tool]] = tuple) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._outside = outside

    @property
    def own(self) -> tuple[Tool, ...]:
        """Those it was made with."""
        return tuple(self._tools.values())

    def tools(self, names: Collection[str] | None = None) -> tuple[Tool, ...]:
        """All that can be called now in a stable order; `names` limits them."""
        found = {**{tool.name: tool for tool in self._outside()}, **self._tools}
        ordered = (*self._tools.values(), *(tool for name, tool in found.items() if name not in self._tools))
        return tuple(tool for tool in ordered if names is None or tool.name in names)

    def specs(self, revealed: Collection[str] = (), names: Collection[str] | None = None) -> tuple[ToolSpec, ...]:
        """What the model is offered, in a stable order (prompt caches depend on it): all but the deferred tools, then
        those of them that it has found (`revealed`) in the order in which it found them."""
        tools = self.tools(names)
        later = {tool.name: tool.shown for tool in tools if tool.deferred}
        found = (later[name] for name in dict.fromkeys(revealed) if name in later)
        return (*(tool.shown for tool in tools if not tool.deferred), *found)

    def find(self, name: str, names: Collection[str] | None = None) -> Tool | None:
        """A tool by its name, None when there is none or `names` leave it out."""
        if names is not None and name not in names:
            return None
        return self._tools.get(name) or next((tool for tool in self._outside() if tool.name == name), None)

    def prepare(self, call: ToolCall, context: ToolContext, names: Collection[str] | None = None) -> Prepared:
        """Validate a call and describe what it would do; blocks on the file system. Raises `ToolArgumentsError`, and
        `ToolError` for an unknown name or a path that cannot be."""
        from agent.tools import arguments as tool_arguments

        tool = self.find(call.name, names)
        if tool is None:
            known = ", ".join(one.name for one in self.tools(names) if not one.deferred)
            raise ToolError(f"There is no tool {call.name!r}. The tools are: {known or 'none'}.")
        raw = call.raw_arguments or json.dumps(dict(call.arguments))
        arguments = tool_arguments.parse(raw, tool.spec.parameters, truncated=call.truncated, also=tool.also)
        effect = tool.describe(context, **arguments)
        return Prepared(tool, arguments, effect, _action_hash(tool, arguments, effect, context))

    async def run_all(self, calls: Sequence[ToolCall], scope: CallScope) -> list[ToolResult]:
        """Run the calls of one reply; results in the order of the calls. Neighbours that only read, and subagents,
        run in parallel, everything else one after the other: a call sees what the calls before it did."""
        results: list[ToolResult] = []
        for group in self._groups(calls):
            tasks = [asyncio.ensure_future(self.run(call, scope)) for call in group]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                for task in tasks:  # once each: a second time would break off the clean end that it is coming to
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
            broken = [one for one in ended if isinstance(one, Exception)]
            if broken:
                raise broken[0]
            results += [task.result() for task in tasks]
        return results

    def _groups(self, calls: Sequence[ToolCall]) -> list[list[ToolCall]]:
        groups: list[list[ToolCall]] = []
        joinable = False
        for call in calls:
            tool = self.find(call.name)
            reads = tool is None or tool.kind in SIDE_BY_SIDE
            if reads and joinable:
                groups[-1].append(call)
            else:
                groups.append([call])
            joinable = reads
        return groups

    async def run(self, call: ToolCall, scope: CallScope) -> ToolResult:
        """Run one call. Every failure becomes a result; only cancellation and `StorageError` (nothing may happen that
        cannot be noted) are raised."""
        call_id = scope.call_id(call)
        context = scope.context(call_id)
        arguments: Mapping[str, Any] = call.arguments
        summary, seconds = call.name, 0.0
        prepared: Prepared | None = None
        outcome: Outcome | None = None
        try:
            prepared = await asyncio.to_thread(self.prepare, call, context, scope.names)
            arguments, summary = prepared.arguments, prepared.effect.summary
        except ToolError as error:
            outcome = Outcome(str(error), ok=False)
        except Exception as error:  # a tool that cannot describe its call must not end the turn
            log.exception("%s could not be prepared", call.name)
            outcome = Outcome(f"The call cannot be prepared ({type(error).__name__}).", ok=False)
        shown = one_line(scope.scrub(summary))
        scope.publish(
            ToolCalled(scope.conversation_id, scope.turn_id, call_id, call.name, arguments, shown, scope.parent)
        )
        try:
            if prepared is not None:
                outcome, seconds = await self._decide_and_run(prepared, replace(context, effect=prepared.effect), scope)
        except _StoppedError as stopped:
            outcome = stopped.outcome
            raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            outcome = Outcome(STOPPED, ok=False)
            raise
        finally:
            if outcome is not None:
                text = clip(scope.scrub(outcome.text), scope.max_chars)
                if source := scope.scrub(outcome.source):
                    scope.taint.read(source, text)
                    text = quote_untrusted(text, source)
                elif prepared is not None and outcome.ok and prepared.effect.kind in ("read", "execute"):
                    scope.taint.mention(one_line(scope.scrub(_spoken(prepared.effect))))
                elif prepared is not None and prepared.effect.kind == "ask":
                    scope.taint.saw(text)
                result = ToolResult(call.id, call.name, text, outcome.ok, images=outcome.images)
                scope.publish(
                    ToolFinished(
                        scope.conversation_id,
                        scope.turn_id,
                        call_id,
                        call.name,
                        result.ok,
                        result.text,
                        seconds,
                        scope.parent,
                    )
                )
        return result

    async def _decide_and_run(
        self, prepared: Prepared, context: ToolContext, scope: CallScope
    ) -> tuple[Outcome, float]:
        effect = prepared.effect
        proposed = ProposedCall(prepared.tool.name, prepared.arguments, effect)
        rules = await scope.grants.valid(scope.conversation_id) if scope.grants else ()
        decision = decide(proposed, _policy_context(effect, scope, rules))
        if await asyncio.to_thread(_carries_a_key, prepared, scope):
            decision = Decision("deny", "it would carry a key of yours out")
        verdict: str = decision.outcome
        refusal, by = f"Denied by the safety policy: {decision.reason}.", "policy"
        if decision.outcome == "ask":
            verdict, by, refusal = await self._ask(prepared, decision, context, scope)
        elif rules and decision.reason and (rule := standing_rule(effect)) is not None and scope.grants:
            by = "grant"
            await scope.grants.used(rule, scope.conversation_id)
        detail: dict[str, Any] = {
            "paths": [str(place.path) for place in effect.places],
            "argv": list(effect.argv),
            "action": effect.action,
            "action_hash": prepared.action_hash,
            "decision": verdict,
            "decided_by": by,
            "reason": decision.reason,
            "undoable": effect.undoable,
            "hosts": list(effect.hosts),
            "recipients": list(effect.recipients),
            "sources": list(decision.sources),
            "sandbox": scope.sandbox.name if effect.kind == "execute" and scope.sandbox else "",
            "network": effect.network,
        }
        exclusive = scope.alone if verdict == "allow" and effect.kind in CHANGES_THINGS else contextlib.nullcontext()
        async with exclusive:
            return await self._note_and_perform(prepared, context, scope, verdict, refusal, detail)

    async def _note_and_perform(
        self,
        prepared: Prepared,
        context: ToolContext,
        scope: CallScope,
        verdict: str,
        refusal: str,
        detail: dict[str, Any],
    ) -> tuple[Outcome, float]:
        effect = prepared.effect
        snapshot: Any = None
        if verdict == "allow" and scope.ledger is not None and effect.kind in ("write", "execute", "use"):
            try:
                snapshot = await asyncio.to_thread(scope.ledger.before, effect, scope.workspace)
                detail |= snapshot.as_json()
            except OSError as error:
                verdict, refusal = "failed", _words(error)
        effect_id = await scope.record_begin(
            context.call_id,
            prepared.tool.name,
            effect.kind,
            mask_shapes(scope.scrub(effect.summary)),
            _scrubbed(detail, scope.scrub),
        )
        if verdict != "allow":
            state: EffectState = "failed" if verdict == "failed" else "denied"
            await scope.record_end(effect_id, state, 0.0, {"text": one_line(refusal, 300)})
            return Outcome(refusal, ok=False), 0.0
        return await self._perform(prepared, context, scope, effect_id, snapshot)

    async def _ask(
        self, prepared: Prepared, decision: Decision, context: ToolContext, scope: CallScope
    ) -> tuple[str, str, str]:
        """(verdict, who decided, what the model is told about a no)."""
        effect = prepared.effect
        standing, session = standing_rule(effect), session_rule(effect, scope.workspace)
        if scope.grants is None or scope.sender_role != "owner":
            standing = session = None  # only the owner's own wishes become permissions
        with scope.pause():
            answer = await scope.approvals.ask(
                replace(effect, always=standing),
                tool=prepared.tool.name,
                action_hash=prepared.action_hash,
                reason=f"{decision.reason}; {scope.agent} wants it" if scope.agent else decision.reason,
                conversation_id=scope.conversation_id,
                turn_id=scope.turn_id,
                call_id=context.call_id,
                session=scope.scrub(session.words) if session else "",
                sources=tuple(scope.scrub(source) for source in decision.sources),
                sandbox=scope.sandbox.name if scope.sandbox and effect.kind == "execute" else "",
                scrub=scope.scrub,
            )
        if answer.choice == "deny":
            who = "nobody answered in time" if answer.by == TIMEOUT else "the person said no"
            return "deny", answer.by, f"Denied: {who}. Do not try to reach the same by other means."
        # The world may have moved while the question was open: a folder swapped for a symlink, for example.
        try:
            now = await asyncio.to_thread(prepared.tool.describe, context, **prepared.arguments)
        except ToolError as error:
            return "failed", answer.by, str(error)
        if _action_hash(prepared.tool, prepared.arguments, now, context) != prepared.action_hash:
            return "deny", "policy", "Denied: what would happen changed while the question was open. Call again."
        if scope.grants is not None:
            if answer.choice == "always" and standing is not None:
                await scope.grants.add(standing, None, answer.by)
            elif answer.choice == "conversation" and session is not None:
                await scope.grants.add(session, scope.conversation_id, answer.by)
        return "allow", answer.by, ""

    async def _perform(
        self, prepared: Prepared, context: ToolContext, scope: CallScope, effect_id: int, snapshot: Any
    ) -> tuple[Outcome, float]:
        started = time.monotonic()
        task = asyncio.ensure_future(_call(prepared.tool, context, prepared.arguments))
        asks = scope.pause() if prepared.effect.kind == "ask" else contextlib.nullcontext()
        try:
            with asks:
                async with asyncio.timeout(prepared.tool.seconds):
                    outcome = await asyncio.shield(task)
        except TimeoutError:
            await _settle(task, prepared.tool)
            outcome = Outcome(f"Ended: it took longer than {prepared.tool.seconds:.0f} seconds.", ok=False)
        except asyncio.CancelledError:
            finished = await _settle(task, prepared.tool)
            ok = finished is not None and finished.ok
            detail = {"stopped": True, **(dict(finished.detail) if finished else {})}

            async def put_down() -> None:
                what = _scrubbed(detail, scope.scrub) | await _changed(scope, snapshot)
                await scope.record_end(effect_id, "done" if ok else "failed", time.monotonic() - started, what)

            await asyncio.shield(put_down())
            if finished is not None and prepared.effect.kind == "delegate":
                raise _StoppedError(finished) from None
            raise
        seconds = time.monotonic() - started
        note = {"text": one_line(outcome.text, 300), **outcome.detail, **await _changed(scope, snapshot)}
        await scope.record_end(effect_id, "done" if outcome.ok else "failed", seconds, _scrubbed(note, scope.scrub))
        return outcome, seconds


def _spoken(effect: Effect) -> str:
    """What a question names of the person's own things that the model was shown."""
    if effect.kind == "execute":
        return f"the output of {effect.summary.removeprefix('Run ')}"
    return ", ".join(place.shown for place in effect.places)


async def _changed(scope: CallScope, snapshot: Any) -> dict[str, Any]:
    """What an effect did to files."""
    if snapshot is None or scope.ledger is None:
        return {}
    try:
        return await asyncio.to_thread(scope.ledger.after, snapshot)
    except OSError as error:
        return {"gap": f"what changed could not be noted: {_words(error)}"}


async def _call(tool: Tool, context: ToolContext, arguments: Mapping[str, Any]) -> Outcome:
    """The tool's function; what it raises becomes words for the model."""
    try:
        if tool.is_async:
            value = await tool.function(context, **arguments)
        else:
            value = await asyncio.to_thread(tool.function, context, **arguments)
    except (TrayClawError, OSError) as error:
        return Outcome(_words(error), ok=False)
    except Exception as error:  # a bug in a tool: the log has it, the model goes on
        log.exception("%s failed", tool.name)
        return Outcome(f"The tool failed unexpectedly ({type(error).__name__}).", ok=False)
    return value if isinstance(value, Outcome) else Outcome(str(value))


async def _settle(task: asyncio.Future[Outcome], tool: Tool) -> Outcome | None:
    """Bring a call that nobody waits for any more to its end. A thread cannot be cancelled, but a file is written in
    milliseconds: the receipt then says what really happened. None when it is unknown or was cancelled."""
    if tool.is_async:
        task.cancel()
    await asyncio.wait({task}, timeout=FINISH_SECONDS)
    if task.done() and not task.cancelled() and task.exception() is None:
        return task.result()
    return None


def _carries_a_key(prepared: Prepared, scope: CallScope) -> bool:
    """Whether a key stands in what leaves the computer: plain or written another way, in words or in files. Blocks for
    long texts and files."""
    effect = prepared.effect
    reaches = effect.kind == "execute" and (effect.network or bool(effect.hosts))
    if effect.kind not in ("fetch", "send", "ask", "use") and not reaches:
        return False
    given = json.dumps(dict(prepared.arguments), ensure_ascii=False)
    texts = (given, *_texts(prepared.arguments), *effect.addresses, effect.action, *effect.argv)
    if any(scope.scrub(reading) != reading for text in dict.fromkeys(texts) for reading in readings(text)):
        return True
    return effect.kind == "send" and _files_carry_a_key(effect, scope.scrub)


def _files_carry_a_key(effect: Effect, scrub: Callable[[str], str]) -> bool:
    """One that cannot be read does not go out either: sending it fails."""
    with contextlib.suppress(OSError, ToolError):
        return any(enclosures.carries_a_key(place.path, scrub) for place in effect.places if not place.secret)
    return False


def _texts(value: Any) -> Iterator[str]:
    """All strings in the arguments of a call."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (str(key), *_texts(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _policy_context(effect: Effect, scope: CallScope, rules: tuple[Rule, ...]) -> PolicyContext:
    return PolicyContext(
        role=scope.sender_role,
        mode=scope.mode,
        taint=tuple(scope.taint.sources),
        grants=rules,
        sandboxed=scope.sandbox is not None,
        background=tuple(scope.taint.background),
        known_urls=not effect.addresses or scope.taint.knows(effect.addresses),
        here=scope.here,
    )


def _action_hash(tool: Tool, arguments: Mapping[str, Any], effect: Effect, context: ToolContext) -> str:
    """Over everything that makes the action what it is: tool, arguments, resolved places, program, conversation."""
    exact = {
        "tool": tool.name,
        "arguments": dict(arguments),
        "kind": effect.kind,
        "places": [str(place.path) for place in effect.places],
        "argv": effect.argv,
        "network": effect.network,
        "hosts": effect.hosts,
        "recipients": effect.recipients,
        "digest": effect.digest,
        "workspace": str(context.workspace.root),
        "conversation": context.conversation_id,
    }
    return hashlib.sha256(json.dumps(exact, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or type(error).__name__}."
    return str(error)


def _scrubbed(detail: Mapping[str, Any], scrub: Callable[[str], str]) -> dict[str, Any]:
    """Receipts are stored: no secret may be in them. Undo needs the paths: only known secrets are taken out there."""

    def clean(value: Any, *, path: bool = False) -> Any:
        if isinstance(value, str):
            return scrub(value) if path else mask_shapes(scrub(value))
        if isinstance(value, Mapping):
            return {key: clean(entry, path=path or key in _PATHS) for key, entry in value.items()}
        return [clean(entry, path=path) for entry in value] if isinstance(value, (list, tuple)) else value

    cleaned: dict[str, Any] = clean(detail)
    return cleaned


_PATHS = ("paths", "path", "before", "changes", "action_hash")
