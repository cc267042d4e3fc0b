"""What "always" and "in this conversation" would stand for: exact rules made of one proposed action."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from pathlib import PurePath

from agent.safety.effects import Effect, one_line
from agent.safety.grants import Rule
from agent.safety.workspace import Workspace

_SHELL_TEXT = re.compile(r"[;&|<>$`(){}*?~!#\[\]\\\n\r]|^\w+=")
"""What makes a line of shell more than one program with fixed arguments."""
# fmt: off
_RUNS_ANYTHING = frozenset((
    "sh", "bash", "dash", "zsh", "fish", "ksh", "csh", "tcsh", "busybox", "pwsh", "powershell", "cmd", "env", "sudo",
    "doas", "su", "xargs", "find", "nohup", "nice", "time", "timeout", "watch", "setsid", "stdbuf", "script",
    "parallel",
    "ssh", "eval", "exec", "source", ".", "command", "builtin", "trap", "make", "npm", "npx", "pnpm", "yarn", "bun",
    "deno", "node", "perl", "ruby", "php", "lua", "awk", "gawk", "mawk", "sed", "tclsh", "java", "go", "cargo", "uv",
    "uvx", "pip", "pipx", "docker", "podman", "kubectl", "vim", "vi", "emacs", "ed", "less", "more", "man", "gdb",
    "osascript", "wscript", "cscript", "mshta", "rundll32", "tar", "rsync", "git-shell", "expect", "at", "crontab",
))
# fmt: on


def standing_rule(effect: Effect) -> Rule | None:
    """The rule that "always" would store: exactly this program with these arguments, this path, this host. None for
    what no exact rule describes."""
    if effect.always is not None:
        return effect.always
    match effect.kind:
        case "read" | "write" if len(effect.places) == 1:
            place = effect.places[0]
            verb = "reading" if effect.kind == "read" else "changing"
            return Rule("path", effect.kind, str(place.path), f"{verb} {place.full or place.shown}")
        case "execute":
            return _command(effect)
        case "fetch" if len(effect.hosts) == 1:
            return Rule("host", "fetch", effect.hosts[0], f"reading from {effect.hosts[0]}")
        case "send" if len(effect.recipients) == 1 and not effect.places:
            return Rule("recipient", "send", effect.recipients[0], f"sending to {effect.recipients[0]}")
    return None


def session_rule(effect: Effect, workspace: Workspace) -> Rule | None:
    """The rule for the rest of a conversation: changes of files in the workspace as a whole, else as for always."""
    if (
        effect.kind == "write"
        and effect.places
        and all(place.inside and not place.sensitive for place in effect.places)
    ):
        return Rule("path", "write", f"{workspace.root}/", "changing files in the workspace")
    return standing_rule(effect)


def granted(effect: Effect, rules: tuple[Rule, ...]) -> bool:
    """Whether these permissions are good for all of an action. A folder's rule does not open files with credentials."""
    if effect.kind in ("read", "write"):
        return bool(effect.places) and all(
            any(
                rule.covers(Rule("path", effect.kind, str(place.path), ""))
                and not (place.sensitive and rule.value.endswith("/"))
                for rule in rules
            )
            for place in effect.places
        )
    wanted = standing_rule(effect)
    return wanted is not None and any(rule.covers(wanted) for rule in rules)


def _command(effect: Effect) -> Rule | None:
    command = effect.argv[-1] if effect.argv else ""
    if _SHELL_TEXT.search(command) or len(effect.places) != 1:
        return None
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    if not words:
        return None
    name = re.sub(r"[\d.]+$", "", PurePath(words[0]).name.removesuffix(".exe").lower())
    if "/" in words[0] or name in _RUNS_ANYTHING or name.startswith("python"):
        return None  # it would permit whatever a script holds at that time
    folder = effect.places[0]
    exact = [words, str(folder.path), effect.network, *([sorted(effect.hosts)] if effect.hosts else [])]
    where = f"{one_line(command, 60)} in {folder.shown}"
    if effect.network:
        where += " with network"
    elif effect.hosts:
        where += f" with network to {', '.join(sorted(effect.hosts))}"
    return Rule("command", "execute", hashlib.sha256(json.dumps(exact).encode()).hexdigest(), where)
