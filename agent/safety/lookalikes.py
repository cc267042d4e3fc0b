"""Letters that look like others, marked where a person decides: "p‹а Cyrillic U+0430›ypal".

Simple in the manner of Unicode TS 39: what counts is the mix of scripts within one word. Honest text in any one script
stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import cache

# fmt: off
_LIKE_LATIN = frozenset(
    "аеорсухіјѕһԁԛԝѵӏАВЕЅІЈКМНОРСТХУҮԌԛԜѴӀ"  # Cyrillic
    "αινορτυχϲϳΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϿ"  # Greek
)
_LIKE_OTHERS = frozenset("aeopcyxijshdqwvntuABCEHIJKMNOPSTXYZ")
_ALONE = frozenset((
    "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET", "GOTHIC", "OLD", "CANADIAN", "GEORGIAN", "RUNIC",
))
"""Scripts that nobody mixes with another one within a word."""
# fmt: on
_EUROPEAN = ("LATIN", "CYRILLIC", "GREEK")
_SIGNS = frozenset("∕⧸∣ǀǃ∗․ꓸ\u037e꞉∶⼁｡．／＼：＆；｜＄＜＞＂＇｀")
"""Signs that look like those of paths, hosts and shells."""
_LATIN_TWINS = frozenset("ɡɑıʟ") | frozenset(map(chr, range(0x2160, 0x2180)))  # the last are Roman numerals
_SPACES = frozenset(map(chr, (0x1680, *range(0x2000, 0x200B), 0x205F, 0x3000)))
_WIDE_SCRIPTS = re.compile(r"[\u3040-\u30ff\u3105-\u312f\u3400-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_WORD = re.compile(r"[^\W\d_][^\W_]*(?:[\u0300-\u036f][^\W_]*)*")
_LATIN = re.compile("[A-Za-z]")


def mark_lookalikes(text: str) -> str:
    """The text with every letter named that a reader takes for another one."""
    if text.isascii():
        return text
    wide = bool(_WIDE_SCRIPTS.search(text))  # full-width letters, signs and spaces are usual there
    disguised = _scripts_in_disguise(text)
    marked = {at for found in _WORD.finditer(text) for at in _in_word(found, disguised)}
    for at, character in enumerate(text):
        usual = wide and character >= "\u3000"
        if _fancy(character, wide) or (character in _SIGNS | _SPACES and not usual):
            marked.add(at)
    return "".join(_named(character) if at in marked else character for at, character in enumerate(text))


def _in_word(word: re.Match[str], disguised: frozenset[str]) -> list[int]:
    """Where letters stand that are not of the script of their word and look as if they were."""
    letters = [(at, one, _script(one)) for at, one in enumerate(word[0], word.start()) if _script(one)]
    scripts = Counter(script for _, _, script in letters)
    if set(scripts) == {"LATIN"}:
        turkish = all(one == "ı" for _, one, _ in letters if one in _LATIN_TWINS)
        return [] if turkish or len(letters) < 2 else [at for at, one, _ in letters if one in _LATIN_TWINS]
    if len(scripts) < 2:
        # A single Greek letter is a symbol, as in "the α channel".
        return [at for at, _, one in letters if one in disguised and (len(letters) > 1 or one == "CYRILLIC")]
    home = max(scripts, key=lambda script: (scripts[script], script == "LATIN"))
    found = [at for at, _, script in letters if script in _ALONE]
    guests = [(at, one) for at, one, script in letters if script != home and script in _EUROPEAN]
    likes = _LIKE_LATIN if home == "LATIN" else _LIKE_OTHERS if home in _EUROPEAN else frozenset()
    if all(one in likes for _, one in guests):  # "PDF" with a Russian ending is plain to see
        found += [at for at, _ in guests]
    return found


def _scripts_in_disguise(text: str) -> frozenset[str]:
    """Scripts of which a text in Latin letters has none but those that can be taken for Latin ones."""
    if not _LATIN.search(text):
        return frozenset()
    foreign = [(one, _script(one)) for one in text if not one.isascii()]
    return frozenset(
        script for script in _EUROPEAN[1:] if all(one in _LIKE_LATIN for one, whose in foreign if whose == script)
    )


def _fancy(character: str, wide: bool) -> bool:
    """An ordinary letter or digit in fancy dress: mathematical, full-width, in a circle."""
    if character.isascii():
        return False
    how, _, plain = unicodedata.decomposition(character).rpartition(" ")
    if " " in how or not plain or int(plain, 16) > 127 or not chr(int(plain, 16)).isalnum():
        return False
    return how in ("<font>", "<circle>", "") or (how == "<wide>" and not wide)


@cache
def _script(character: str) -> str:
    """LATIN, CYRILLIC, ...; empty for what is no letter."""
    if character in _LATIN_TWINS:
        return "LATIN"
    if unicodedata.category(character) not in ("Lu", "Ll", "Lo", "Lt"):
        return ""
    return unicodedata.name(character, "").partition(" ")[0]


_SPOKEN = {"MATHEMATICAL": "mathematical ", "FULLWIDTH": "full-width ", "CIRCLED": "circled "}


def _named(character: str) -> str:
    first = unicodedata.name(character, "").partition(" ")[0]
    script = f"{first.capitalize()} " if first in (*_EUROPEAN, *_ALONE) else ""
    return f"‹{character} {_SPOKEN.get(first, script)}U+{ord(character):04X}›"
