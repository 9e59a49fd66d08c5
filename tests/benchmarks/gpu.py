"""`python -m tests.benchmarks.gpu`: converters by kernels on a GPU, checked, then timed beside a copy.

Exits with 1 where anything differs by a bit. `--device cpu` lets triton interpret the kernels, on tiny models: whether it
runs, and nothing is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from .gpu_clock import Clock
from .gpu_conversions import measure_model
from .gpu_models import MODELS, tensors_of
from .gpu_table import as_json, page, write_page


def main() -> int:
    given = _arguments()
    on_cpu = given.device == "cpu"
    if on_cpu:
        os.environ["TRITON_INTERPRET"] = "1"  # before it is imported
        os.environ["MAPC_KERNELS"] = "interpreted"
    import torch

    if not on_cpu and not torch.cuda.is_available():
        print("no GPU: --device cpu tries whether everything runs", file=sys.stderr)
        return 2
    device = torch.device("cpu" if on_cpu else "cuda:0")
    memory = None if on_cpu else _memory(given.memory, device)
    if given.first is not None:
        print(_first_call(given.first, device, memory))
        return 0
    clock = Clock(device, given.rounds)
    firsts = _first_calls(given)
    rows = [
        row for model in MODELS for row in _said(measure_model, model, clock, memory)
    ]
    from .gpu_kernels import measure_kernels

    rows += measure_kernels(clock, 1024 if clock.is_gpu else 16)
    text = page(_about(device), rows, firsts)
    print(text)
    for row in rows:
        for line in row.wrong[:5]:
            print(f"{row.model} {row.work}: {line}")
    if given.write:
        write_page(given.write, text)
    if given.json:
        given.json.write_text(
            json.dumps(as_json(_about(device), rows, firsts), indent=1)
        )
    return 1 if any(row.wrong for row in rows) else 0


def _said(measure: Any, model: Any, *more: Any) -> Any:
    begin = time.monotonic()
    rows = measure(model, *more)
    print(f"{model.name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    return rows


def _memory(gigabytes: float | None, device: Any) -> int:
    """The bytes that may be used: what is asked for, of what is free no more than nine tenths."""
    import torch

    free = int(0.9 * torch.cuda.mem_get_info(device)[0])
    return free if gigabytes is None else min(free, int(gigabytes * 1e9))


def _first_calls(given: argparse.Namespace) -> list[str]:
    """The first call of a process, with no compiled kernels kept by triton, and with those of the one before."""
    said = []
    for number, model in enumerate(MODELS if given.device != "cpu" else MODELS[:1]):
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-m", "tests.benchmarks.gpu", "--first"]
            command += [str(number), "--device", given.device]
            if given.memory is not None:
                command += ["--memory", str(given.memory)]
            kept = os.environ | {"TRITON_CACHE_DIR": cache}
            cold, warm = (
                subprocess.run(
                    command, env=kept, check=True, capture_output=True, text=True
                ).stdout.split()[-1]
                for _ in range(2)
            )
        if given.device != "cpu":
            said.append(f"first call of {model.name}: {cold} s cold, {warm} s warm")
    return said


def _first_call(number: int, device: Any, memory: int | None) -> str:
    """The seconds of a conversion that is prepared and called once."""
    model = MODELS[number]
    module, (config, _) = model.loaded(), model.sized(memory)
    tensors = tensors_of(module.expected_hf(config), device)
    clock = Clock(device, 1)
    clock.wait()
    begin = time.perf_counter()
    module.prepare("to_mcore", tensors, config)()
    clock.wait()
    return f"{time.perf_counter() - begin:.2f}"


def _about(device: Any) -> dict[str, str]:
    import torch
    import triton

    versions = {"torch": torch.__version__, "triton": triton.__version__}
    if device.type == "cpu":
        return {"the interpreter of triton": "(nothing is timed)", **versions}
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=True)
        driver = answer.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError):
        driver = "unknown"
    return {
        "a": torch.cuda.get_device_name(device),
        "driver": driver,
        **versions,
        "on": date.today().isoformat(),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu")
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda")
    add("--memory", type=float, metavar="GB", help="at most so much of the GPU's")
    add("--rounds", type=int, default=7, help="times that each is timed (default: 7)")
    add("--write", type=Path, metavar="PAGE", help="write the tables between its marks")
    add("--json", type=Path, metavar="FILE", help="write the measurements there, too")
    add("--first", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
