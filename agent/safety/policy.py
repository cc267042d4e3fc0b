"""What may happen without asking, what a person decides, and what never happens. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from agent.safety.effects import Effect

if TYPE_CHECKING:
    from agent.channels.channel import Role
    from agent.settings import SafetyMode

Outcome = Literal["allow", "ask", "deny"]


@dataclass(frozen=True, slots=True)
class ProposedCall:
    """A validated tool call and what it would do."""

    tool: str
    arguments: Mapping[str, Any]
    effect: Effect


@dataclass(frozen=True, slots=True)
class PolicyContext:
    """Who asks, and how much may happen unasked."""

    role: Role
    mode: SafetyMode = "balanced"
    taint: tuple[str, ...] = field(default=())
    grants: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` completes "asked because ..." or "denied because ..."."""

    outcome: Outcome
    reason: str = ""


def decide(call: ProposedCall, context: PolicyContext) -> Decision:
    """Whether a call runs, waits for a person, or is refused. The strictest of its places counts.

    | effect                                 | owner: careful | balanced | autonomous | paired | member |
    |----------------------------------------|----------------|----------|------------|--------|--------|
    | read in the workspace                  | allow          | allow    | allow      | allow  | allow  |
    | read a file with credentials there     | ask            | ask      | ask        | ask    | deny   |
    | read elsewhere                         | ask            | ask      | ask        | ask    | deny   |
    | read TrayClaw's own files, key stores  | deny           | deny     | deny       | deny   | deny   |
    | write in the workspace                 | ask            | ask      | allow      | ask    | deny   |
    | write a file with credentials there    | ask            | ask      | ask        | ask    | deny   |
    | write elsewhere                        | ask            | ask      | ask        | ask    | deny   |
    | write what is protected (also: start-up files, git hooks) | deny in every case                      |
    | run a program                          | ask            | ask      | ask        | ask    | deny   |
    | run a program in a protected folder, anything else        | deny in every case                      |

    Questions about a paired person's turn go to the owner. Programs always ask: there is no sandbox to hold them.
    """
    effect = call.effect
    if context.role not in ("owner", "paired", "member"):
        return Decision("deny", "the sender is not known")
    if effect.kind not in ("read", "write", "execute"):
        return Decision("deny", f"no rule covers {effect.kind!r}")
    if effect.kind != "execute" and not effect.places:
        return Decision("deny", "it does not say which files it touches")
    for place in effect.places:
        if place.secret or (place.protected and effect.kind != "read"):
            return Decision("deny", f"{place.shown} is off limits: {place.protected}")
    wish = _in_reach(effect, context)
    if wish.outcome == "ask" and context.role == "member":
        return Decision("deny", "members of a group may only have files of the workspace read")
    return wish


def _in_reach(effect: Effect, context: PolicyContext) -> Decision:
    if effect.kind == "execute":
        return Decision("ask", "programs run without a sandbox, with all your rights")
    outside = next((place for place in effect.places if not place.inside), None)
    if outside is not None:
        return Decision("ask", f"{outside.shown} is outside the workspace")
    sensitive = next((place for place in effect.places if place.sensitive), None)
    if sensitive is not None:
        return Decision("ask", f"{sensitive.shown} usually holds credentials")
    if effect.kind == "read":
        return Decision("allow")
    if context.role == "owner" and context.mode == "autonomous":
        return Decision("allow")
    return Decision(
        "ask", "it changes files" if context.role == "owner" else "somebody you paired asks to change files"
    )
