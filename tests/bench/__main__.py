"""`python -m tests.bench [--quick] [--only NAME] [--json FILE]`: run the benchmarks and print the table."""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from tests.bench import contenders
from tests.bench.measures import MEASURES, Plan
from tests.bench.processes import BenchError
from tests.bench.report import Row, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and turns")
    parser.add_argument("--only", action="append", choices=sorted(MEASURES), help="repeat for more than one")
    names = ("floor", "nanobot", "trayclaw")
    parser.add_argument("--contender", action="append", choices=names, help="repeat for more than one (default: all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    chosen = parser.parse_args()
    rows: list[Row] = []
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="trayclaw-bench-") as folder:
        scratch = Path(folder)
        makers = {"floor": contenders.floor, "nanobot": contenders.nanobot, "trayclaw": contenders.trayclaw}
        field: list[contenders.Contender] = []
        for name in chosen.contender or names:
            try:
                field.append(makers[name](scratch / name))
            except BenchError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
        for name in chosen.only or MEASURES:
            begun = time.perf_counter()
            print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
            rows += MEASURES[name](Plan(field, chosen.quick, scratch))
            print(f"{time.perf_counter() - begun:.0f} s", file=sys.stderr)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    load = f"load {load_before:.1f} before, {os.getloadavg()[0]:.1f} after"
    print(f"{machine}, {load}\n\n{table(rows)}")
    if chosen.json is not None:
        document = {"machine": machine, "load": load, "rows": [row.document() for row in rows]}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n")
    return 1 if any(row.failures for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
