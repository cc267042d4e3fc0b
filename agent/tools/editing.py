"""Replacing a passage of a text that a model quoted: exactly, or with harmless differences, or not at all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from agent.errors import EditError

_QUOTES = str.maketrans("“”„‟«»‘’‚‛`´", "\"\"\"\"\"\"''''''")
_LOOKALIKES = str.maketrans("‐‑‒–—―−\u00a0\u2002\u2003\u2009\u202f\u3000", "-------      ")
_NUMBERED = re.compile(r"\s*(\d+)(?: \| |\t|→)(.*)", re.DOTALL)
_OMISSION = re.compile(
    r"^\s*(?://|#|/\*|<!--|--)?\s*(?:\.{3}|…)\s*(?:the )?(?:rest|remaining|existing|unchanged|same)\b.*$",
    re.MULTILINE | re.IGNORECASE,
)
_LONGEST_ALIGNMENT = 20_000
_LARGEST_SEARCH = 4_000
"""Lines in which the nearest passage is looked for when nothing fits."""


@dataclass(frozen=True, slots=True)
class _Match:
    start: int
    end: int
    text: str


def replace_text(before: str, old: str, new: str, replace_all: bool = False) -> str:
    """`before` with `old` replaced by `new`, or `EditError`: never a third result.

    Tried in this order; the first that fits anywhere decides: exactly; with the file's line endings; with the file's
    typographic quotes, dashes and spaces; without regard to trailing blanks; indented differently as a whole; without
    line numbers that were quoted along. More than one place is refused unless `replace_all`.
    """
    if not isinstance(old, str) or not isinstance(new, str):
        raise EditError("Both the old and the new text are needed.")
    if old == new:
        raise EditError("The old and the new text are the same; nothing would change.")
    if not old:
        if before:
            raise EditError("The old text is empty but the file is not. Quote the passage to replace.")
        return new
    if _OMISSION.search(new) and not _OMISSION.search(old):
        raise EditError('The new text leaves something out ("... rest ..."). Write it out in full.')
    for matches in _attempts(before, old, new):
        if not matches:
            continue
        if not replace_all:
            again = before.find(before[matches[0].start : matches[0].end], matches[0].start + 1)
            places = [match.start for match in matches] + ([again] if len(matches) == 1 and again >= 0 else [])
            lines = [before.count("\n", 0, place) + 1 for place in places]
        if not replace_all and len(lines) > 1:
            raise EditError(
                f"The old text occurs {len(lines)} times (lines {_listed(lines)}). Quote more of its surroundings, "
                "or set replace_all."
            )
        after = _applied(before, matches)
        if after == before:
            raise EditError("The file has the new text there already; nothing would change.")
        return after
    raise EditError("The old text is not in the file." + _nearest(before, old))


def _attempts(before: str, old: str, new: str) -> Iterator[list[_Match]]:
    yield [_Match(start, start + len(old), _line_ends(before, start, old, new)) for start in _find(before, old)]
    crlf = old.replace("\r\n", "\n").replace("\n", "\r\n")
    for form, ending in ((crlf, "\r\n"), (old.replace("\r\n", "\n"), "\n")):
        if form != old:
            adapted = new.replace("\r\n", "\n").replace("\n", ending)
            yield [_Match(start, start + len(form), adapted) for start in _find(before, form)]
    yield _typographic(before, old, new)
    yield _by_lines(before, old, new)
    plain_old, plain_new = _without_numbers(old), _without_numbers(new)
    if plain_old is not None:
        yield from _attempts(before, plain_old, new if plain_new is None else plain_new)


def _find(text: str, part: str) -> list[int]:
    """Every place, without overlaps."""
    places = []
    start = text.find(part)
    while start >= 0:
        places.append(start)
        start = text.find(part, start + len(part))
    return places


def _applied(before: str, matches: list[_Match]) -> str:
    pieces, position = [], 0
    for match in matches:
        pieces += [before[position : match.start], match.text]
        position = match.end
    return "".join([*pieces, before[position:]])


def _line_ends(before: str, start: int, old: str, new: str) -> str:
    """The new text with the line endings used around an exact match; as it is where `old` shows what is meant."""
    if "\n" in old or "\r" in new or "\n" not in new:
        return new
    line_end = before.find("\n", start)
    if line_end < 0:
        line_end = before.rfind("\n", 0, start)
    return new.replace("\n", "\r\n") if line_end > 0 and before[line_end - 1] == "\r" else new


def _typographic(before: str, old: str, new: str) -> list[_Match]:
    """Same length, so places in the folded text are places in the file. Curly quotes that stay, stay curly."""
    if len(old) > _LONGEST_ALIGNMENT:
        return []
    ending = "\r\n" if "\r\n" in before else "\n"
    old, new = (text.replace("\r\n", "\n").replace("\n", ending) for text in (old, new))
    matches = []
    for start in _find(_folded(before), _folded(old)):
        found = before[start : start + len(old)]
        pieces = []
        for tag, old_from, old_to, new_from, new_to in difflib.SequenceMatcher(
            None, old, new, autojunk=False
        ).get_opcodes():
            if tag == "equal":
                pieces += [
                    theirs if theirs.translate(_QUOTES) == ours.translate(_QUOTES) else ours
                    for theirs, ours in zip(found[old_from:old_to], new[new_from:new_to], strict=True)
                ]
            else:
                pieces.append(new[new_from:new_to])
        matches.append(_Match(start, start + len(old), "".join(pieces)))
    return matches


def _folded(text: str) -> str:
    return text.translate(_QUOTES).translate(_LOOKALIKES)


def _by_lines(before: str, old: str, new: str) -> list[_Match]:
    """Whole lines that are the same but for trailing blanks and one common indentation."""
    lines = before.splitlines(keepends=True)
    wanted = [line.rstrip() for line in old.splitlines()]
    if not any(wanted):
        return []
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    bare = [line.strip() for line in lines]
    sought = [line.strip() for line in wanted]
    matches: list[_Match] = []
    index = 0
    while index + len(wanted) <= len(lines):
        if bare[index : index + len(wanted)] == sought:
            block = lines[index : index + len(wanted)]
            shifted = _shifted(block, wanted, new)
            if shifted is not None:
                ending = "\r\n" if block[-1].endswith("\r\n") or lines[index].endswith("\r\n") else "\n"
                text = ending.join(shifted)
                if old.endswith(("\n", "\r")):
                    end = starts[index + len(wanted)]
                    text += ending if new.endswith(("\n", "\r")) and block[-1].endswith(("\n", "\r")) else ""
                else:
                    last = block[-1]
                    end = starts[index + len(wanted)] - (len(last) - len(last.rstrip("\r\n")))
                    text += ending if new.endswith(("\n", "\r")) else ""
                matches.append(_Match(starts[index], end, text))
                index += len(wanted)
                continue
        index += 1
    return matches


def _shifted(block: list[str], wanted: list[str], new: str) -> list[str] | None:
    """The new lines, indented as the block is; None when the block is not indented differently as a whole."""
    added: set[str] = set()
    removed: set[str] = set()
    for theirs, ours in zip(block, wanted, strict=True):
        if not ours:
            continue
        have = theirs[: len(theirs) - len(theirs.lstrip())]
        quoted = ours[: len(ours) - len(ours.lstrip())]
        if have.endswith(quoted):
            added.add(have[: len(have) - len(quoted)])
            removed.add("")
        elif quoted.endswith(have):
            added.add("")
            removed.add(quoted[: len(quoted) - len(have)])
        else:
            return None
    if len(added) != 1 or len(removed) != 1:
        return None
    plus, minus = added.pop(), removed.pop()
    return [plus + line.removeprefix(minus) if line.strip() else line for line in new.splitlines()]


def _without_numbers(text: str) -> str | None:
    """The text without the line numbers that `read_file` shows; None when it is not numbered throughout."""
    lines = text.splitlines(keepends=True)
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    if not lines or len(numbers) != len(lines) or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return "".join(match[2] for match in found if match)


def _listed(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:8]))
    return shown + (", ..." if len(lines) > 8 else "")


def _nearest(before: str, old: str) -> str:
    """Where the passage nearly is, so that the next try can quote it right."""
    lines, wanted = before.splitlines(), old.splitlines()
    while wanted and not wanted[0].strip():
        wanted.pop(0)
    if not wanted or not 0 < len(lines) <= _LARGEST_SEARCH or len(old) > _LONGEST_ALIGNMENT:
        return " Read it again and quote the passage exactly."
    best, where = 0.0, 0
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(wanted[0].strip())
    for index, line in enumerate(lines):
        matcher.set_seq1(line.strip()[:500])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and matcher.ratio() > best:
            best, where = matcher.ratio(), index
    if best < 0.6:
        return " Read it again and quote the passage exactly."
    for offset, line in enumerate(wanted):
        there = lines[where + offset] if where + offset < len(lines) else None
        if there != line:
            has = "the end of the file" if there is None else repr(there[:200])
            return (
                f" The nearest passage begins at line {where + 1}; "
                f"line {where + offset + 1} is {has}, not {line[:200]!r}."
            )
    return f" The nearest passage begins at line {where + 1}."
