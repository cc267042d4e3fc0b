"""What is measured, one function a group of rows. Repetitions go round the contenders, so that noise hits all alike."""

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contenders import ROOT, Contender, model_service
from tests.bench.desktop_session import tray_memory
from tests.bench.processes import BenchError, memory_mib, run, running
from tests.bench.report import Row


@dataclass(frozen=True)
class Plan:
    contenders: Sequence[Contender]
    quick: bool
    scratch: Path

    def repeats(self, full: int) -> int:
        return max(1, full // 3) if self.quick else full

    @property
    def settle(self) -> float:
        """Seconds after the start until a program counts as idle."""
        return 2.0 if self.quick else 5.0

    @property
    def programs(self) -> list[Contender]:
        """Those a person starts: all but the floor."""
        return [one for one in self.contenders if one.version]


Figures = Sequence[float]
"""One for each row of a group."""


def _medians(
    rows: Sequence[Row], contenders: Sequence[Contender], times: int, take: Callable[[Contender], Figures]
) -> list[Row]:
    """Take the figures `times` times, going round the contenders, and put the medians into the rows."""
    samples: dict[str, list[Figures]] = {}
    failed = rows[0].failures
    for _ in range(times):
        for contender in contenders:
            if contender.name in failed:
                continue
            try:
                samples.setdefault(contender.name, []).append(take(contender))
            except BenchError as error:
                failed[contender.name] = str(error)
    for name, taken in samples.items():
        if name not in failed:
            for row, values in zip(rows, zip(*taken, strict=True), strict=True):
                row.figures[name] = statistics.median(values)
    return list(rows)


def version(plan: Plan) -> list[Row]:
    row = Row("--version", "s", 0.1, digits=3)
    return _medians([row], plan.programs, plan.repeats(9), lambda one: [run(one.version, one.environ, ROOT).wall_s])


def one_shot(plan: Plan) -> list[Row]:
    rows = [Row('one-shot "hi", instant model', "s", 0.6), Row("  its CPU", "s", None)]

    def take(contender: Contender) -> Figures:
        finished = run(contender.one_shot, contender.environ, ROOT)
        return finished.wall_s, finished.cpu_s

    with model_service() as url:
        for contender in plan.programs:
            contender.configure(url)
            _ignore_failure(contender)
        return _medians(rows, plan.programs, plan.repeats(5), take)


def _ignore_failure(contender: Contender) -> None:
    """The first start makes folders and files; the measured ones say what fails."""
    try:
        run(contender.one_shot, contender.environ, ROOT)
    except BenchError:
        pass


def request(plan: Plan) -> list[Row]:
    row = Row('request for "hi"', "kB", 8.0, digits=1)

    def take(contender: Contender) -> Figures:
        log = plan.scratch / f"{contender.name}.requests"
        with model_service(log=log) as url:
            contender.configure(url)
            run(contender.one_shot, contender.environ, ROOT)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        bodies = [line["body_bytes"] for line in lines if line["path"] == "/v1/chat/completions"]
        if not bodies:
            raise BenchError("no request reached the model service")
        return [max(bodies) / 1000]

    return _medians([row], plan.programs, 1, take)


def ready(plan: Plan) -> list[Row]:
    row = Row("headless start to ready", "s", 0.5)

    def take(contender: Contender) -> Figures:
        with running(contender.resident, contender.environ, ROOT, contender.ready) as (_, seconds):
            return [seconds]

    with model_service() as url:
        for contender in plan.programs:
            contender.configure(url)
            _ignore_failure(contender)
        return _medians([row], plan.programs, plan.repeats(5), take)


def memory(plan: Plan) -> list[Row]:
    rows = [Row("idle RSS headless", "MiB", 55, digits=0), Row("  its PSS", "MiB", None, digits=0)]

    def take(contender: Contender) -> Figures:
        with running(contender.resident, contender.environ, ROOT, contender.ready) as (pid, _):
            time.sleep(plan.settle)
            return memory_mib(pid)

    with model_service() as url:
        for contender in plan.programs:
            contender.configure(url)
        return _medians(rows, plan.programs, 1, take)


def tray(plan: Plan) -> list[Row]:
    rows = [Row("idle RSS with tray", "MiB", 120, digits=0), Row("  its PSS", "MiB", None, digits=0)]

    def take(contender: Contender) -> Figures:
        return tray_memory(contender.tray, contender.environ, ROOT, plan.settle)

    with model_service() as url:
        contenders = [one for one in plan.programs if one.tray]
        for contender in contenders:
            contender.configure(url)
            _ignore_failure(contender)
        return _medians(rows, contenders, 1, take)


def turn_cpu(plan: Plan) -> list[Row]:
    count = 60 if plan.quick else 200
    part = count // 4
    rows = [
        Row(f"CPU a turn, mean of {count}", "ms", None, digits=1),
        Row(f"  turns 1-{part}", "ms", None, digits=1),
        Row(f"  turns {count - part + 1}-{count}", "ms", None, digits=1),
    ]
    growth = Row("  growth, last to first", "x", 1.25)
    ratio = Row("  times the floor", "x", 1.5)

    def take(contender: Contender) -> Figures:
        cpu = contender.drive(url, "turns", count)["cpu_ms"]
        assert isinstance(cpu, list)
        return statistics.mean(cpu), statistics.mean(cpu[:part]), statistics.mean(cpu[-part:])

    with model_service() as url:
        mean, first, last = _medians(rows, plan.contenders, plan.repeats(3), take)
    for name, figure in mean.figures.items():
        growth.figures[name] = last.figures[name] / first.figures[name]
        if "floor" in mean.figures:
            ratio.figures[name] = figure / mean.figures["floor"]
    return [mean, ratio, first, last, growth]


def burst(plan: Plan) -> list[Row]:
    rows = []
    with model_service(latency=1.0) as url:
        for count, budget in ((20, 1.2), (100, 1.9)):
            wall = Row(f"{count} conversations at once, model takes 1 s", "s", budget)
            take = _driven(url, "burst", count, ("wall_s", "cpu_s"))
            rows += _medians([wall, Row("  their CPU", "s", None)], plan.contenders, plan.repeats(3), take)
    return rows


def block(plan: Plan) -> list[Row]:
    rows = [
        Row("loop blocked while 20 chats stream, p99", "ms", 16, digits=1),
        Row("  longest", "ms", None, digits=1),
    ]
    with model_service(latency=0.2, chunk_delay=0.03) as url:
        take = _driven(url, "block", 20, ("p99_ms", "max_ms"))
        return _medians(rows, plan.contenders, plan.repeats(3), take)


def _driven(url: str, what: str, count: int, names: Sequence[str]) -> Callable[[Contender], Figures]:
    def take(contender: Contender) -> Figures:
        figures = contender.drive(url, what, count)
        return [value for name in names if isinstance(value := figures[name], float)]

    return take


MEASURES: dict[str, Callable[[Plan], list[Row]]] = {
    "version": version,
    "one-shot": one_shot,
    "request": request,
    "ready": ready,
    "memory": memory,
    "tray": tray,
    "turn-cpu": turn_cpu,
    "burst": burst,
    "block": block,
}
