"""`trayclaw doctor`: looks at everything TrayClaw needs and says what to do about what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agent.cli.checks import Finding


def register(app: typer.Typer) -> None:
    """Add `doctor`."""

    @app.command()
    def doctor(
        as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
        fix: Annotated[bool, typer.Option("--fix", help="Create missing folders and make them private.")] = False,
    ) -> int:
        """Check everything that TrayClaw needs."""
        return run(as_json=as_json, fix=fix)


def run(*, as_json: bool, fix: bool) -> int:
    """Print the findings; 1 when something does not work, else 0."""
    import asyncio

    from agent.cli.checks import examine
    from agent.paths import Paths

    paths = Paths.locate()
    fixed = []
    if fix:
        from agent.cli.checks_files import mend

        fixed = mend(paths)
    findings = asyncio.run(examine(paths))
    if as_json:
        import json
        from dataclasses import asdict

        document = {"ok": _ok(findings), "fixed": fixed, "checks": [asdict(one) for one in findings]}
        print(json.dumps(document, ensure_ascii=False))
    else:
        for line in (*(f"fixed  {what}" for what in fixed), *_lines(findings)):
            print(line)
    return 0 if _ok(findings) else 1


def _ok(findings: list[Finding]) -> bool:
    return not any(one.state == "fail" for one in findings)


def _lines(findings: list[Finding]) -> list[str]:
    from agent.cli.safe import visible

    signs = {"ok": "ok    ", "warn": "warn  ", "fail": "FAIL  "}
    width = max(len(one.name) for one in findings)
    lines = []
    for one in findings:
        lines.append(f"{signs[one.state]} {one.name:<{width}}  {visible(one.text)}")
        if one.next:
            lines.append(f"{'':7}{'':<{width}}  Next: {visible(one.next)}")
    failed = sum(one.state == "fail" for one in findings)
    warned = sum(one.state == "warn" for one in findings)
    if failed:
        lines.append(f"{failed} {'thing does' if failed == 1 else 'things do'} not work.")
    elif warned:
        lines.append(f"Works, with {warned} {'remark' if warned == 1 else 'remarks'}.")
    else:
        lines.append("All is well.")
    return lines
