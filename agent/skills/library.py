"""The skills of this agent: which there are, which a person accepted, and how the model gets to know of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.errors import SkillError, ToolError, UsageError
from agent.events import Event, SettingsChanged
from agent.safety.effects import Vouched, one_line
from agent.safety.quoting import harmless
from agent.safety.taint import Taint
from agent.safety.workspace import Workspace
from agent.skills import acceptance
from agent.skills.requirements import lacking
from agent.skills.skill import Shelf, Skill, read, shipped_skills
from agent.storage import pins as rows
from agent.storage.database import Database
from agent.storage.pins import Pin
from agent.tools.environment import child_environment
from agent.views import SkillState, SkillText, SkillView

KIND = "skill"
PROMPT_BYTES = 800
"""Of the list in the prompt, all in all."""
_LONG, _SHORT = 110, 48
"""Characters of a description in the list, and where room is short."""
_HEAD = "Skills that the person accepted: before such a task call use_skill and follow it within the rules above."
_CLAIMS = "What stands in quotation marks is only claimed, by skills that nobody accepted yet."


@dataclass(frozen=True, slots=True)
class Loaded:
    """A skill read just now: what is decided upon, what is shown to a person, what is followed."""

    skill: Skill
    contents: dict[str, bytes]
    vouched: Vouched
    accepted: Pin | None

    @property
    def question(self) -> str:
        """All of a new one, or what has changed since it was accepted."""
        if self.accepted is not None and self.accepted.hash != self.skill.digest:
            return acceptance.difference(self.skill, self.contents, self.accepted.content)
        return acceptance.whole(self.skill, self.contents, asks=not self.vouched)


class Skills:
    """Coroutines run on the loop; `load` and `usable` block."""

    def __init__(
        self, database: Database, workspace: Callable[[], Workspace], publish: Callable[[Event], None]
    ) -> None:
        self._database = database
        self._workspace = workspace
        self._publish = publish
        self._shelf = Shelf()
        self._pins: dict[str, Pin] = {}

    # --- for the model ----------------------------------------------------------------------------------------------
    async def prompt(self, role: str, taint: Taint) -> str:
        """The list for the system prompt, the same as long as nothing changes; empty without skills.

        Of skills that nobody accepted a few harmless words are in it; that they may speak through the model is noted
        in `taint`.
        """
        skills = await self._refresh()
        named = await asyncio.to_thread(self._usable, skills, role)
        named = [skill for skill in named if skill.head is not None and not skill.head.hidden]
        claiming = [skill.name for skill in named if self.state(skill) in ("new", "changed")]
        if len(claiming) == 1:
            taint.mention(f"the description of the skill {claiming[0]}, which nobody accepted")
        elif claiming:
            taint.mention(f"the descriptions of {len(claiming)} skills that nobody accepted")
        return _listing(named, self.state)

    def usable(self, root: Path, role: str) -> list[Skill]:
        """Those that a sender may use and that lack nothing, by name; blocks."""
        return self._usable(self._shelf.scan(root), role)

    def described(self, root: Path, role: str) -> str:
        """All that can be used for the model, hidden ones too once they were accepted; blocks."""
        skills = ((skill, self.state(skill)) for skill in self.usable(root, role))
        lines = [
            _line(skill, state, _LONG * 2)
            for skill, state in skills
            if state in ("built in", "accepted") or (skill.head is not None and not skill.head.hidden)
        ]
        return "\n".join(lines) or "There are no skills."

    def load(self, root: Path, name: str, role: str) -> Loaded:
        """A skill by its name, read anew; blocks. Raises `ToolError` for one that is not there or cannot be used."""
        skill = self._find(self._shelf.scan(root), name, role)
        if skill is None:
            known = ", ".join(one.name for one in self.usable(root, role))
            raise ToolError(f"There is no skill {one_line(name)!r}. There is: {known or 'none'}.")
        loaded = self._read(skill)
        missing = lacking(loaded.skill.head, child_environment()) if loaded.skill.head else ()
        if missing:
            raise ToolError(f"The skill {skill.name} cannot be used here: it lacks {', '.join(missing)}.")
        return loaded

    async def accept(self, loaded: Loaded) -> None:
        """A person allowed it: from now on it is used without asking."""
        skill = loaded.skill
        text = await asyncio.to_thread(acceptance.content, skill, loaded.contents)
        pin = Pin(skill.pin_name, skill.digest, text)
        await self._database.write(lambda db: rows.put(db, KIND, pin))
        self._pins[pin.name] = pin
        self._publish(SettingsChanged(("skills",)))

    def state(self, skill: Skill) -> SkillState:
        """Where it stands with the person."""
        if skill.problem:
            return "unusable"
        if skill.genuine:
            return "built in"
        pin = self._pins.get(skill.pin_name)
        if pin is None:
            return "new"
        return "accepted" if pin.hash == skill.digest else "changed"

    # --- for windows and commands -----------------------------------------------------------------------------------
    async def every(self) -> list[SkillView]:
        """All of them by name, unusable ones included."""
        skills = await self._refresh()

        def views() -> list[SkillView]:
            environment = child_environment()
            return [
                SkillView(
                    skill.name,
                    skill.description,
                    self.state(skill),
                    () if skill.head is None else lacking(skill.head, environment),
                    skill.problem,
                    skill.folder,
                    skill.shown,
                    skill.shipped,
                )
                for skill in skills
            ]

        return await asyncio.to_thread(views)

    async def show(self, name: str) -> SkillText:
        """What a person reads before they accept it: all of it, or what changed. Raises `UsageError`."""
        loaded = await self._named(name)
        return SkillText(loaded.skill.name, self.state(loaded.skill), loaded.question, loaded.skill.digest)

    async def accept_named(self, name: str, digest: str) -> None:
        """Accept what was shown with this hash. Raises `UsageError`, also when it has changed since."""
        loaded = await self._named(name)
        if loaded.skill.digest != digest:
            raise UsageError(
                f"The files of {name} changed after they were shown.",
                title="The skill has changed meanwhile",
                hint="Look at it again.",
            )
        if not loaded.vouched:
            await self.accept(loaded)

    async def withdraw(self, name: str) -> None:
        """It asks again at its next use. Raises `UsageError` for one that was not accepted."""
        key = name.strip().casefold()
        await self._refresh(with_pins=True)
        found = [pin for pin in self._pins if pin.rstrip("/").rpartition("/")[2].casefold() == key]
        if not found:
            raise UsageError(f"The skill {name} was not accepted.", hint="See `trayclaw skills list`.")
        for pin in found:
            await self._database.write(lambda db, prefix=pin: rows.forget(db, KIND, prefix))  # type: ignore[misc]
            del self._pins[pin]
        self._publish(SettingsChanged(("skills",)))

    # --- inside -----------------------------------------------------------------------------------------------------
    async def _refresh(self, *, with_pins: bool = False) -> list[Skill]:
        skills = await asyncio.to_thread(self._shelf.scan, self._workspace().root)
        if with_pins or any(not skill.genuine for skill in skills):  # another process may have accepted one
            self._pins = await self._database.read(lambda db: rows.of_kind(db, KIND))
        return skills

    def _usable(self, skills: Iterable[Skill], role: str) -> list[Skill]:
        environment = child_environment()
        found = (self._find(skills, skill.name, role) for skill in skills)
        return [
            skill
            for skill in dict.fromkeys(found)
            if skill is not None and not skill.problem and skill.head and not lacking(skill.head, environment)
        ]

    def _find(self, skills: Iterable[Skill], name: str, role: str) -> Skill | None:
        """Members of a group get those that came along, also where the workspace has one of the same name."""
        key = name.strip().strip("/").removeprefix("$").casefold()
        skills = shipped_skills() if role == "member" else skills
        found = [skill for skill in skills if skill.name.casefold() == key]
        return next((skill for skill in found if not skill.problem), found[0] if found else None)

    def _read(self, skill: Skill) -> Loaded:
        if skill.problem:
            raise SkillError(f"The skill {skill.name} cannot be used: {skill.problem}.")
        try:
            now, contents = read(skill)
        except OSError as error:
            raise SkillError(f"The skill {skill.name} cannot be read: {error.strerror}.") from error
        if now.problem:
            raise SkillError(f"The skill {skill.name} cannot be used: {now.problem}.")
        pin = self._pins.get(now.pin_name)
        vouched: Vouched = "person" if pin is not None and pin.hash == now.digest else ""
        if now.genuine:
            vouched = "person" if len(now.files) > 1 else "shipped"  # other files may be programs
        return Loaded(now, contents, vouched, pin)

    async def _named(self, name: str) -> Loaded:
        skills = await self._refresh()
        skill = self._find(skills, name, "owner")
        if skill is None:
            raise UsageError(f"There is no skill {name}.", hint="See `trayclaw skills list`.")
        try:
            return await asyncio.to_thread(self._read, skill)
        except ToolError as error:
            raise UsageError(str(error), title=SkillError.title, hint="Correct it in its folder.") from error


def _listing(skills: list[Skill], state: Callable[[Skill], SkillState]) -> str:
    """The most trusted first; what finds no room is counted."""
    if not skills:
        return ""
    ordered = sorted(skills, key=lambda skill: (_rank(skill, state(skill)), skill.name.casefold()))
    head = f"{_HEAD} {_CLAIMS}" if _rank(ordered[-1], state(ordered[-1])) == 2 else _HEAD
    for most in (_LONG, _SHORT):
        lines = [head, *(_line(skill, state(skill), most) for skill in ordered)]
        if _size(lines) <= PROMPT_BYTES:
            return "\n".join(lines)
    more = ""
    while _size([*lines, more]) > PROMPT_BYTES:
        lines.pop()
        more = f"(and {len(ordered) + 1 - len(lines)} more: call use_skill without a name)"
    return "\n".join([*lines, more])


def _rank(skill: Skill, state: SkillState) -> int:
    if state not in ("built in", "accepted"):
        return 2
    return 0 if skill.head is not None and skill.head.always else 1


def _size(lines: list[str]) -> int:
    return len("\n".join(lines).encode())


def _line(skill: Skill, state: SkillState, most: int) -> str:
    words = harmless(one_line(skill.description, most))
    if state in ("built in", "accepted"):
        first = " (load it first)" if skill.head is not None and skill.head.always else ""
        return f"- {skill.name}{first}: {words}"
    quoted = words.replace('"', "'").replace("[", "(").replace("]", ")")
    return f'- {skill.name} ({state}): "{quoted}"'
