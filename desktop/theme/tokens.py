"""The colour, spacing and type tokens of the desktop: the one place where they are written down."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Role = Literal["text", "dim", "faint", "accent", "on_accent", "ok", "warn", "bad", "line"]

STEP = 4  # px; every distance is a multiple of it
RADIUS_CONTROL = 7  # px
RADIUS_CARD = 10  # px
ANIMATION_MS = 120  # longest motion; none when the person asked for reduced motion


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one appearance as `#rrggbb`. Grounds first, then what is drawn on them."""

    name: Literal["light", "dark"]
    bg: str  # window
    panel: str  # cards, inputs
    side: str  # side bar
    line: str  # separators, borders of cards
    edge: str  # outline of inputs and switches: 3:1 on panel, so the control can be found
    selection: str
    hover: str
    bubble: str  # the person's own messages
    code: str  # ground of code and commands
    amber: str  # ground of an approval or a question
    rose: str  # ground of an error
    text: str
    dim: str
    faint: str
    disabled: str  # exempt from the contrast rule (WCAG 1.4.3: inactive controls)
    accent: str
    accent_hover: str
    link: str  # accent as text: 4.5:1 on every ground
    on_accent: str
    ok: str
    warn: str
    bad: str
    focus: str

    @property
    def dark(self) -> bool:
        return self.name == "dark"

    def color(self, role: str) -> str:
        """The colour of a token by name; raises KeyError for a name that is not a token."""
        if role == "name" or role not in _NAMES:
            raise KeyError(role)
        return str(getattr(self, role))


_NAMES = frozenset(field.name for field in fields(Palette))

LIGHT = Palette(
    name="light",
    bg="#F7F6F4",
    panel="#FFFFFF",
    side="#EFEDE9",
    line="#DDD9D3",
    edge="#918B82",
    selection="#E3DFD9",
    hover="#E9E6E1",
    bubble="#ECE9E4",
    code="#F2F0EC",
    amber="#FFF4D6",
    rose="#FCEBE8",
    text="#1F1D1A",
    dim="#605B55",
    faint="#67625B",
    disabled="#A8A29A",
    accent="#C8432B",
    accent_hover="#B23A24",
    link="#B03520",
    on_accent="#FFFFFF",
    ok="#236B42",
    warn="#855800",
    bad="#B3261E",
    focus="#2A68D4",
)

DARK = Palette(
    name="dark",
    bg="#1B1A19",
    panel="#242322",
    side="#201F1E",
    line="#3A3836",
    edge="#76716B",
    selection="#353331",
    hover="#2C2A29",
    bubble="#33312F",
    code="#1C1B1A",
    amber="#3A3118",
    rose="#3D2422",
    text="#ECE9E5",
    dim="#ADA8A1",
    faint="#A29C95",
    disabled="#6B6762",
    accent="#FF7D62",
    accent_hover="#FF947D",
    link="#FF7D62",
    on_accent="#1B1A19",
    ok="#6CC18E",
    warn="#E3B341",
    bad="#FF8A80",
    focus="#7EA8FF",
)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.2, relative luminance)."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color: str) -> float:
    channels = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
