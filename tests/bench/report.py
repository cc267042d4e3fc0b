"""The table: one row a budget, figures with their unit, met or not."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

COLUMNS = ("what", "nanobot 0.3.5", "floor", "TrayClaw", "budget", "met?")


@dataclass
class Row:
    what: str
    unit: str
    budget: float | None
    """Upper bound in the row's unit; None when the row only informs."""
    budget_text: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    digits: int = 2

    def met(self) -> bool | None:
        if self.budget is None or not {"trayclaw"} & (self.figures.keys() | self.failures.keys()):
            return None
        return "trayclaw" in self.figures and self.figures["trayclaw"] <= self.budget

    def cells(self) -> list[str]:
        verdict = {True: "yes", False: "NO", None: ""}[self.met()]
        budget = self.budget_text or ("" if self.budget is None else f"<= {self.budget:g} {self.unit}")
        return [self.what, *(self._cell(name) for name in ("nanobot", "floor", "trayclaw")), budget, verdict]

    def _cell(self, name: str) -> str:
        if name in self.figures:
            return f"{self.figures[name]:.{self.digits}f} {self.unit}"
        return "failed" if name in self.failures else "-"

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met()}


def table(rows: Sequence[Row]) -> str:
    lines = [list(COLUMNS), *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    text = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    text.insert(1, "-|-".join("-" * width for width in widths))
    for row in rows:
        text += [f"{row.what}: {name} failed: {reason}" for name, reason in row.failures.items()]
    return "\n".join(text)
