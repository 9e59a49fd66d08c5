"""`python -m tests.benchmarks`: measures, and prints one table.

Exits with 1 where an output is not what it has to be. Times are printed and never decide.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from .asking import measure_plan, measure_start
from .beside_peers import measure_peer
from .copying import measure
from .holding import measure_memory, measure_promise
from .machine import machine
from .place import Place
from .rows import Row
from .table import as_json, problems, series, table
from .works import (
    WORKS,
    Copy,
    Memory,
    Peer,
    Plan,
    Promise,
    StartUp,
    Work,
    models_of,
    shortened,
)


def main() -> int:
    given = _arguments()
    folder = given.work or Path(tempfile.mkdtemp(prefix="mapc-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        rows = _measured(given, folder)
        about = machine(folder)
    finally:
        if not given.keep:
            shutil.rmtree(folder)
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for part in filter(None, (table(rows), problems(rows), series(rows))):
        print(f"\n{part}")
    if given.json:
        given.json.write_text(json.dumps(as_json(rows, about), indent=1))
    return 1 if any(row.wrong for row in rows) else 0


def _measured(given: argparse.Namespace, folder: Path) -> list[Row]:
    place = Place(folder, given.quick, 1 if given.quick else given.rounds)
    chosen = shortened(WORKS) if given.quick else WORKS
    works = [w for w in chosen if all(word in w.name.split() for word in given.only)]
    rows: list[Row] = []
    for number, work in enumerate(works):
        print(work.name, file=sys.stderr, flush=True)
        rows += _measure(work, place)
        if not given.keep:
            place.forget_models(
                {model for w in works[number + 1 :] for model in models_of(w)}
            )
    return rows


def _measure(work: Work, place: Place) -> list[Row]:
    match work:
        case Copy():
            return measure(work, place)
        case Plan():
            return measure_plan(work, place)
        case Memory():
            return measure_memory(work, place)
        case Promise():
            return measure_promise(work, place)
        case Peer():
            return measure_peer(work, place)
        case StartUp():
            return measure_start(work, place)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    add = parser.add_argument
    add("--only", nargs="+", default=[], metavar="WORD", help="rows that have them all")
    add("--rounds", type=int, default=9, help="times that each clock runs (default: 9)")
    add("--quick", action="store_true", help="tiny models, one round: whether it runs")
    add("--json", type=Path, metavar="FILE", help="write the measurements there, too")
    add("--work", type=Path, metavar="DIR", help="the folder to work in")
    add("--keep", action="store_true", help="leave that folder, for the next run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
