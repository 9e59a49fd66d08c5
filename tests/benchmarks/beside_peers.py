"""Measures a conversion beside other software that does the same, on the same files."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from .clock import read_all, rounds
from .compare import differences
from .copying import expected, source_of, timed
from .memory import peak_anonymous
from .peers.__main__ import MISSING
from .place import ROOT, Place
from .rows import Row
from .works import Peer

# As many as a converter takes by itself on a machine of two cores, and as torch does.
THREADS = 2


def measure_peer(work: Peer, place: Place) -> list[Row]:
    """The converter's time beside the peer's, and that both did the same; a note where the peer is not there."""
    row = Row(work.name, base_name=work.peer)
    source, output = source_of(work.copy, place), place.fresh("cp")
    command = _command(work, source, output)
    tried = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False
    )
    if tried.returncode:
        said = tried.stderr.strip().splitlines()[-1:] or ["no reason"]
        reason = "not installed" if tried.returncode == MISSING else "failed"
        return [replace(row, note=f"not run: {reason}: {said[0]}")]
    wrong = [
        f"{work.peer}: {text}"
        for text in differences(output, expected(work.copy, place))
    ]
    size = sum(path.stat().st_size for path in output.rglob("*.safetensors"))
    read_all(source)
    clocks = {
        "peer": partial(_seconds, command),
        "ours": partial(timed, work.copy, place, source, THREADS),
    }
    series = rounds(clocks, place.rounds, partial(_prepare, place, size))
    place.clear()
    peak = peak_anonymous(command)
    place.clear()
    return [
        replace(
            row,
            threads=THREADS,
            size=size,
            ours=series["ours"],
            base=series["peer"],
            base_memory=peak,
            wrong=wrong,
        )
    ]


def _prepare(place: Place, size: int) -> None:
    """What the other one held is given back to the machine, which hands it out again at a price: paid here."""
    place.clear()
    place.touch(2 * size)


def _command(work: Peer, source: Path, target: Path) -> list[str]:
    module = [sys.executable, "-m", "tests.benchmarks.peers", work.peer, work.job]
    return [*module, str(source), str(target), str(work.copy.ranks)]


def _seconds(command: list[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])
