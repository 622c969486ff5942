"""
``python -m loadtests.bench``: starts each server, measures it, writes the result and the tables.

All that is compared is measured in this one run, on the same two cores, in turns. A full run takes about a quarter of
an hour and writes ``loadtests/results/<date>.json`` and the tables in ``docs/performance.md``, unless other work on
the same cores disturbed it. ``--quick`` only shows that everything works, in a minute or two, and prints.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from loadtests.bench import machine
from loadtests.bench.closed_loop import medians
from loadtests.bench.layout import two_cores
from loadtests.bench.models import make
from loadtests.bench.parts import PARTS, Bench, Found, Options
from loadtests.bench.ratios import ratios
from loadtests.bench.report import Report, replaced, tables

__all__: list[str] = []

ROOT = Path(__file__).parents[2]


def main() -> None:
    given = _arguments()
    options = Options(
        repeats=given.repeats or (1 if given.quick else 3),
        seconds=given.seconds or (1.0 if given.quick else 3.0),
        idle_requests=500 if given.quick else 3000,
        idle_connections=200 if given.quick else 500,
        changes=8 if given.quick else 100,
        feast_python=given.feast,
        triton_python=given.triton,
    )
    started, clock = datetime.now(UTC), time.monotonic()
    facts, found = machine.facts(), Found()
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as folder:
        bench = Bench(options, two_cores(), make(Path(folder, "models")), Path(folder), found)
        for part in given.only or PARTS:
            bench.run(part)
    middle = medians(found.runs)
    report = Report(
        started=started.isoformat(timespec="seconds"),
        took_seconds=round(time.monotonic() - clock, 1),
        options=dataclasses.asdict(options),
        machine=facts,
        ratios=ratios(
            middle,
            found.idle,
            found.overload,
            found.connections,
            found.features,
            shadow=found.shadow,
            reload=found.reload,
        ),
        medians=middle,
        idle=found.idle,
        overload=found.overload,
        runs=found.runs,
        connections=found.connections,
        features=found.features,
        shadow=found.shadow,
        reload=found.reload,
    )
    print(tables(report))
    is_whole = not given.quick and not given.only
    if given.output:
        report.write(given.output)
    if not is_whole:
        return
    if report.is_disturbed:
        print("Other work used these cores meanwhile: nothing was written; run it again on a quiet machine.")
        sys.exit(1)
    report.write(ROOT / "loadtests" / "results" / f"{started.date()}.json")
    page = ROOT / "docs" / "performance.md"
    page.write_text(replaced(page.read_text(), tables(report)))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short turn of everything; prints, writes nothing")
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part alone; may be given again")
    parser.add_argument("--repeats", type=int, help="turns of every measurement (3)")
    parser.add_argument("--seconds", type=float, help="length of one run (3)")
    parser.add_argument("--feast", metavar="PYTHON", help="an interpreter that has feast[redis], to be measured too")
    parser.add_argument(
        "--triton", metavar="PYTHON", help="an interpreter that has nvidia-pytriton and onnxruntime, to measure Triton"
    )
    parser.add_argument("--output", type=Path, help="write the result as JSON here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
