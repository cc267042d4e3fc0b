"""What may happen without asking, what a person decides, and what never happens. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent.safety.effects import Effect
from agent.safety.grants import Rule
from agent.safety.rules import granted

if TYPE_CHECKING:
    from agent.settings import SafetyMode

Outcome = Literal["allow", "ask", "deny"]
Sender = Literal["owner", "paired", "member", "job"]

_KINDS = ("read", "write", "execute", "fetch", "send", "delegate", "ask", "use", "follow", "find")
_TOUCHES_FILES = ("read", "write")


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A validated tool call and what it would do."""

    tool: str
    arguments: Mapping[str, Any]
    effect: Effect


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """Who asks, and how much may happen unasked.

    `taint` names the untrusted texts that this turn has read, `background` what else was read and may speak through the
    model: files of the workspace, untrusted texts of earlier turns. `grants` are rules that a person permitted here.
    `sandboxed`: the operating system fences programs in. `known_urls`: the addresses of the call stood word for word
    in what the person wrote or the turn has read, so that they carry nothing out. `here` is the conversation that the
    turn belongs to, as effects name recipients.
    """

    role: Sender | str
    mode: SafetyMode = "balanced"
    taint: tuple[str, ...] = ()
    grants: tuple[Rule, ...] = ()
    sandboxed: bool = False
    background: tuple[str, ...] = ()
    known_urls: bool = False
    here: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` completes "asked because ..." or "denied because ..."; `sources` are the texts that the wish may come
    from."""

    outcome: Outcome
    reason: str = ""
    sources: tuple[str, ...] = field(default=())


def decide(call: ProposedCall, context: PolicyContext) -> Decision:
    """Whether a call runs, waits for a person, or is refused. The strictest of its places counts.

    | effect                                         | owner: careful | balanced | autonomous | paired | member |
    |------------------------------------------------|----------------|----------|------------|--------|--------|
    | read in the workspace or a granted folder      | allow          | allow    | allow      | allow  | allow  |
    | read a file with credentials there             | ask            | ask      | ask        | ask    | deny   |
    | read elsewhere                                 | ask            | ask      | ask        | ask    | deny   |
    | read TrayClaw's own files, key stores          | deny           | deny     | deny       | deny   | deny   |
    | write in the workspace or a granted folder     | ask            | ask      | allow (1)  | ask    | deny   |
    | write a file with credentials there            | ask            | ask      | ask        | ask    | deny   |
    | write elsewhere                                | ask            | ask      | ask        | ask    | deny   |
    | write start-up files, git hooks, key stores    | deny           | deny     | deny       | deny   | deny   |
    | run a fenced program without network there     | ask            | allow (1)| allow (1)  | ask    | deny   |
    | run any other program (network, named hosts)   | ask            | ask      | ask        | ask    | deny   |
    | read the web                                   | ask            | allow (2)| allow (2)  | (2)    | (3)    |
    | send to the conversation that asked            | ask            | allow (1)| allow (1)  | (1)    | deny   |
    | send to others, or files not readable unasked  | ask            | ask      | ask        | ask    | deny   |
    | use an outside tool                            | ask            | ask      | ask        | ask    | deny   |
    | follow a new or changed skill                  | ask            | ask      | ask        | ask    | deny   |
    | follow a skill as the person accepted it       | allow          | allow    | allow      | allow  | deny   |
    | follow one that came along and runs nothing    | allow          | allow    | allow      | allow  | allow  |
    | start a subagent (its own calls are decided)   | ask            | allow    | allow      | allow  | deny   |
    | ask the person, look for a tool                | allow          | allow    | allow      | allow  | allow  |

    (1) asks once the turn has read untrusted text. (2) once anything untrusted was read, here or earlier in the
    conversation, an address asks that did not stand word for word in what was read or written: it could carry
    something out. (3) as (2), with "deny" for "ask". A job is treated as an owner who is never autonomous.

    What would ask is allowed when a grant of the person covers exactly this; what is denied stays denied. Questions
    about a paired person's turn go to the owner.
    """
    effect = call.effect
    if context.role not in ("owner", "paired", "member", "job"):
        return Decision("deny", "the sender is not known")
    if effect.kind not in _KINDS:
        return Decision("deny", f"no rule covers {effect.kind!r}")
    if effect.kind in _TOUCHES_FILES and not effect.places:
        return Decision("deny", "it does not say which files it touches")
    if effect.kind == "fetch" and not effect.hosts:
        return Decision("deny", "it does not say which host it reads from")
    if effect.kind == "send" and not effect.recipients:
        return Decision("deny", "it does not say who it is sent to")
    for place in effect.places:
        if place.secret or (place.protected and effect.kind not in ("read", "send")):
            return Decision("deny", f"{place.shown} is off limits: {place.protected}")
    why = _why_ask(effect, context)
    if not why:
        return Decision("allow")
    if context.role == "member":
        return Decision("deny", "members of a group may only have files of the workspace and web pages read")
    if granted(effect, context.grants):
        return Decision("allow", "you permitted this")
    return Decision("ask", why, (*context.taint, *context.background))


def _why_ask(effect: Effect, context: PolicyContext) -> str:
    """Empty when it may run."""
    match effect.kind:
        case "ask" | "find":
            return ""
        case "delegate":
            if context.role == "member":
                return "it starts a subagent"
            return "every effect asks in this mode" if context.mode == "careful" else ""
        case "fetch":
            return _why_ask_web(effect, context)
        case "send":
            return _why_ask_send(effect, context)
        case "use":
            return "nobody but its maker knows what it does"
        case "follow":
            if effect.vouched == "shipped" or (effect.vouched == "person" and context.role != "member"):
                return ""
            return "it tells TrayClaw what to do, and you have not accepted it as it is now"
        case "execute":
            return _why_ask_program(effect, context)
        case _:
            return _why_ask_file(effect, context)


def _why_ask_file(effect: Effect, context: PolicyContext) -> str:
    writes = effect.kind == "write"
    for place in effect.places:
        if not place.reachable(write=writes):
            return f"{place.shown} is outside the workspace"
        if place.sensitive:
            return f"{place.shown} usually holds credentials"
    if not writes:
        return ""
    if context.role == "paired":
        return "somebody you paired asks to change files"
    if context.role == "owner" and context.mode == "autonomous":
        return _tainted(context, "it changes files")
    return "it changes files"


def _why_ask_send(effect: Effect, context: PolicyContext) -> str:
    for place in effect.places:
        if not place.reachable(write=False):
            return f"{place.shown} is outside the workspace"
        if place.sensitive:
            return f"{place.shown} usually holds credentials"
    if not context.here or effect.recipients != (context.here,):
        return f"what is sent to {_listed(effect.recipients)} cannot be taken back"
    if context.role == "member":
        return "it sends a message of its own"
    if context.role in ("owner", "job") and context.mode == "careful":
        return "every effect asks in this mode"
    return _tainted(context, "it sends something")


def _why_ask_program(effect: Effect, context: PolicyContext) -> str:
    if not context.sandboxed:
        return "programs run without a sandbox, with all your rights"
    if effect.network:
        return "the program may reach all of the network, and what it sends there cannot be taken back"
    if effect.hosts:
        return f"the program may reach {_listed(effect.hosts)}, and what it sends there cannot be taken back"
    for place in effect.places:
        if not place.reachable(write=True):
            return f"it works in {place.shown}, which is outside the workspace"
    if context.role in ("paired", "member"):
        return "somebody you paired asks to run a program"
    if context.mode == "careful":
        return "every effect asks in this mode"
    return _tainted(context, "it runs a program")


def _why_ask_web(effect: Effect, context: PolicyContext) -> str:
    if context.role in ("owner", "job") and context.mode == "careful":
        return "every effect asks in this mode"
    if not context.taint and not any(context.background):
        return ""
    if context.known_urls:
        return ""
    return f"the address at {_listed(effect.hosts)} was put together by the model and could carry something out"


def _tainted(context: PolicyContext, what: str) -> str:
    if not context.taint:
        return ""
    return f"{what} after {_listed(context.taint)} was read, which may be where the wish comes from"


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
