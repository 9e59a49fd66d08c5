"""--max-memory is a promise: what a converter takes is looked at from outside, while it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from mapc.compiler.driver import compile_text
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.footprint import check_taken, taken_memory, usable_cores
from mapc.templates.runtime.workers import Needs, choose_threads

from .files import WIDTHS

STATUS = Path("/proc/self/status")
# Where a process is looked at from outside.
of_linux = pytest.mark.skipif(
    not STATUS.exists() or "RssAnon" not in STATUS.read_text(),
    reason="the system does not tell how much memory is anonymous",
)
L, E, G, H, D, F, V = 2, 1024, 4, 2, 64, 4096, 8192
TOY = dict(zip(("layers", *"eghdfv"), (L, E, G, H, D, F, V)))
LAYER = {
    "norm": (E,),
    "q": (G * H * D, E),
    "k": (G * D, E),
    "v": (G * D, E),
    "down": (E, F),
    "up": (E, F),
}
VALUES: dict[str, tuple[int, ...]] = {"embed": (V, E), "turned": (V, E)}


class Done(NamedTuple):
    """One run: the report or the error, and the most memory that was seen from outside."""

    said: Any
    peak: int


def toy(folder: Path) -> Path:
    """An hf checkpoint of toy.map with tensors of several chunks, all zero; the converter beside it."""
    shapes: dict[str, tuple[int, ...]] = {"embed.weight": (V, E), "final.weight": (E,)}
    for layer in range(L):
        shapes |= {f"layers.{layer}.{n}.weight": shape for n, shape in LAYER.items()}
    config = {f"hf_{name}": size for name, size in TOY.items()}
    return checkpoint(folder, "toy", shapes, "BF16", config)


def values(folder: Path) -> Path:
    """The same of values.map, which computes."""
    shapes = VALUES | dict.fromkeys(("a", "b", "plain", "bias", "gain"), (E,))
    config = {"v": V, "vp": V, "e": E, "scale": 0.3}
    return checkpoint(folder, "values", shapes, "F32", config)


def checkpoint(
    folder: Path,
    name: str,
    shapes: dict[str, tuple[int, ...]],
    dtype: str,
    config: dict[str, Any],
) -> Path:
    header, end = {}, 0
    for tensor, shape in shapes.items():
        begin, end = end, end + prod(shape) * WIDTHS[dtype]
        header[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    (folder / "source").mkdir()
    file = folder / "source/model.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(file, 8 + len(text) + end)
    (folder / "source/config.json").write_text(json.dumps(config))
    (folder / "converter.py").write_text(converter(name))
    return folder


@cache
def converter(name: str) -> str:
    text = (Path(__file__).parent / f"{name}.map").read_text()
    return compile_text(text, name=f"{name}.map").module


def run(folder: Path, *flags: str) -> Done:
    """Convert in a process of its own, which is looked at every millisecond."""
    shutil.rmtree(folder / "target", ignore_errors=True)
    command = ["to-mcore", str(folder / "source"), str(folder / "target"), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    peak = 0
    with subprocess.Popen(
        [sys.executable, str(folder / "converter.py"), *command, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        while process.poll() is None:
            peak = max(peak, seen(process.pid))
            time.sleep(0.001)
        assert process.stdout is not None
        return Done(json.loads(process.stdout.read()), peak)


def seen(pid: int) -> int:
    """The anonymous memory of another process, in bytes; 0 where it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return 1024 * sum(map(int, re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", text)))


def with_the_least(folder: Path, *flags: str) -> tuple[int, Done]:
    """The megabytes that a converter says it needs, once it says nothing more, and its run with so many."""
    asked = 1
    while True:
        done = run(folder, *flags, "--max-memory", f"{asked}MB")
        if "error" not in done.said:
            return asked, done
        needed = re.match(
            r"--max-memory: expected (\d+)MB", done.said["error"]["message"]
        )
        assert needed and int(needed[1]) > asked, done.said
        asked = int(needed[1])


CASES = {
    "as it is stored": (toy, ""),
    "strided": (toy, "--tp 2"),
    "cast": (toy, "--tp 2 --dtype f32"),
    "compared": (toy, "--tp 2 --verify"),
    "cast to less": (toy, "--tp 2 --dtype f16"),
    "computed": (values, "--verify --allow-narrowing"),
    "computed and cast": (values, "--tp 2 --dtype bf16 --allow-narrowing"),
}
WITH_THREADS = ("as it is stored", "strided", "computed and cast")


@of_linux
@pytest.mark.parametrize(
    "case",
    [c if c != "cast" else pytest.param(c, marks=pytest.mark.long) for c in CASES],
)
def test_never_more_than_allowed(tmp_path: Path, case: str) -> None:
    """With as little as is accepted, and with enough for several threads."""
    make, flags = CASES[case]
    folder, arguments = make(tmp_path), (*flags.split(), "--threads", "3")
    limit, done = with_the_least(folder, *arguments)
    check(done, limit, 1)
    if case in WITH_THREADS:
        more = limit + 20
        check(run(folder, *arguments, "--max-memory", f"{more}MB"), more, 2)


def check(done: Done, limit: int, threads: int) -> None:
    assert 0 < done.peak <= limit * 1_000_000
    assert done.said["threads"] >= threads
    assert done.said["peak_memory"] >= 0.9 * done.peak


@of_linux
def test_refused_before_anything_is_written(tmp_path: Path) -> None:
    folder = toy(tmp_path)
    bare = run(folder, "--plan").said["peak_memory"]
    said = []
    for allowed in (1_000_000, bare + 2_000_000):
        done = run(folder, "--max-memory", f"{allowed}")
        said.append(done.said["error"]["message"])
        assert sorted(os.listdir(folder)) == ["converter.py", "source"]
    assert re.fullmatch(
        r"--max-memory: expected \d+MB or more, found 1\.00 MB; "
        r"the process takes \d+\.\d\d MB once the headers are read",
        said[0],
    )
    assert re.fullmatch(
        r"--max-memory: expected \d+MB or more, found \d+\.\d\d MB; the process takes \d+\.\d\d MB "
        r"once all is planned, a thread \d+\.\d\d MB, the rest \d+\.\d\d MB",
        said[1],
    )


NEEDS = Needs(taken=30, held=0, rest=2, thread=5)


@pytest.mark.parametrize(
    "wanted, limit, threads",
    [(3, 37, 1), (3, 41, 1), (3, 42, 2), (3, 99, 3), (9, None, 9)],
)
def test_as_many_threads_as_fit(wanted: int, limit: int | None, threads: int) -> None:
    assert choose_threads(wanted, NEEDS, limit) == threads


def test_not_one_thread_fits() -> None:
    with pytest.raises(ConversionError) as error:
        choose_threads(None, NEEDS._replace(held=7), 36)
    assert str(error.value) == (
        "--max-memory: expected 2MB or more, found 36 bytes; the process takes 30 bytes once all is planned, "
        "7 bytes of it for tensors that torch holds, a thread 5 bytes, the rest 2 bytes"
    )


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot")
def test_threads_are_the_cores_that_may_be_used() -> None:
    allowed = os.sched_getaffinity(0)
    assert choose_threads(None, NEEDS, None) == min(4, len(allowed))
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert (usable_cores(), choose_threads(None, NEEDS, None)) == (1, 1)
    finally:
        os.sched_setaffinity(0, allowed)


def test_memory_that_is_taken() -> None:
    before = taken_memory()
    block = bytearray(b"x" * (50 << 20))
    assert taken_memory() - before > 49 << 20
    with pytest.raises(ConversionError, match="; the process takes .* now$"):
        check_taken("now", len(block))
    check_taken("now", None)
    check_taken("now", 1 << 50)
