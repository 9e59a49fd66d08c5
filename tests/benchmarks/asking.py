"""Measures what moves no data: planning, and how long a converter takes to say something."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial

from .clock import rounds, run_child
from .models import MODELS
from .place import Place
from .rows import Row
from .works import Plan, StartUp

# Imported before the clock of a plan starts, where they are installed.
PACKAGES = "numpy,safetensors"


def measure_plan(work: Plan, place: Place) -> list[Row]:
    """The seconds from the call of `main` to its return."""
    model, converter = place.model(work.model), place.converter(work.map)
    folders = (str(model), str(place.fresh("ours")))
    arguments = [work.arguments[0], *folders, *work.arguments[1:], "--plan"]
    said = subprocess.run(
        [sys.executable, str(converter), *arguments, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    tensors = MODELS[work.model].tensors(place.config(work.model))
    read = json.loads(said.stdout)["tensors_read"]
    wrong = [] if read == len(tensors) else [f"{read} tensors read of {len(tensors)}"]
    clocks = {"ours": lambda: run_child(converter, arguments, PACKAGES)["seconds"]}
    ours = rounds(clocks, place.rounds, lambda: None)["ours"]
    return [Row(work.name, ours=ours, unit="s", must=work.must, wrong=wrong)]


def measure_start(work: StartUp, place: Place) -> list[Row]:
    """The seconds of a whole process, from outside; and which packages it imported that it has no use for."""
    command = [str(place.converter(work.map)), work.flag]
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", *command],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.split("|")[-1].strip() for line in traced.stderr.splitlines()}
    wrong = [f"imports {name}" for name in work.without if name in imported]
    clocks = {"ours": partial(_seconds, [sys.executable, *command])}
    ours = rounds(clocks, place.rounds, lambda: None)["ours"]
    return [Row(work.name, ours=ours, unit="s", must=work.must, wrong=wrong)]


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began
