"""What kernels are for GPUs that are not there: vectors of 16 bytes, nothing in memory of its own, every step rounded."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pytest

from .compiling import Compiled, table
from .loading import GENERATED
from .variants import GPUS, SIZES, chosen, kind

ROOT = GENERATED.parent
MARKER = "# ---- runtime: "
THREADS = 256
# What a program reads of `programs`, in 4 bytes each, and of its row of `table`, in 8.
NUMBERS = 2
ADDRESSES_AND_STEPS = {"move_rows": 12, "move_tiles": 11, "compute_rows": 12}
DIVIDE = 3


def test_all_converters_have_the_same_kernels() -> None:
    """So that it suffices to compile those of one."""
    converters = [GENERATED / path.name[5:] for path in GENERATED.glob("test_*.py")]
    for first in ("def move_rows(", "def moves_of(", "def constants("):
        sections = {
            section
            for path in converters
            for section in path.read_text().split(MARKER)
            if first in section
        }
        assert len(sections) == 1


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> list[Compiled]:
    if not find_spec("triton"):
        pytest.skip("triton is not installed")
    folder = tmp_path_factory.mktemp("compiled")
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder / "cache")}
    environment.pop("TRITON_INTERPRET", None)
    path = folder / "compiled.pickle"
    command = [sys.executable, "-m", "tests.gpu.compiling", str(path)]
    subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL
    )
    return [Compiled(*one) for one in pickle.loads(path.read_bytes())]


def test_everything_is_compiled(compiled: list[Compiled]) -> None:
    print(table(compiled))
    for gpu in GPUS:
        launches = [one.launch for one in compiled if one.gpu == gpu]
        assert launches == chosen(gpu)
        assert set(map(kind, launches)) == set(map(kind, chosen("sm_90")))


def test_nothing_is_spilled(compiled: list[Compiled]) -> None:
    """All that a thread has is in registers."""
    for one in compiled:
        assert 0 < one.reading.registers <= 255
        assert (one.reading.stack, one.reading.spills) == (0, 0), one[:2]
        assert not re.findall(r"^\s*\.local|\b(?:ld|st)\.local", one.text, re.MULTILINE)
        assert not re.findall(r"^\s*scratch_", one.text, re.MULTILINE)


def vectors(one: Compiled, side: int) -> Counter[tuple[str, bool, int]]:
    """What a thread reads or writes of tensors, where these are aligned: accesses, by their bytes."""
    change, (rows, columns) = one.launch.change, one.launch.tile
    size = one.launch.word if change is None else SIZES[change[side]]
    width = 16 if change is None else min(16, columns * size)
    count, rest = divmod(rows * columns * size, width * THREADS)
    assert count and not rest
    return Counter({(["ld", "st"][side], True, width): count})


def accesses(one: Compiled) -> Counter[tuple[str, bool, int]]:
    """The loads and stores of a kernel in the memory of all: whether of a vector, and the bytes."""
    if one.gpu == "gfx942":
        words = r"^\s*(?:global|flat)_(load|store)_(?:dword(?:x(\d))?|(\w+))"
        found = re.findall(words, one.text, re.MULTILINE)
        assert not [other for _, _, other in found if other]
        numbers = [(name, int(count or 1)) for name, count, _ in found]
        spelled = {"load": "ld", "store": "st"}
        return Counter((spelled[name], n > 1, 4 * n) for name, n in numbers)
    found = re.findall(r"\b(ld|st)\.global(?:\.v(\d))?\.b(\d+)", one.text)
    assert len(found) == len(re.findall(r"\b(?:ld|st)\.global", one.text))
    return Counter((n, bool(v), int(v or 1) * int(bits) // 8) for n, v, bits in found)


def test_aligned_tensors_are_moved_by_vectors(compiled: list[Compiled]) -> None:
    aligned = [one for one in compiled if one.launch.aligned == 16]
    assert {one.launch.kernel for one in aligned} == set(ADDRESSES_AND_STEPS)
    for one in aligned:
        expected = vectors(one, 0) + vectors(one, 1)
        if one.gpu != "gfx942":  # which reads its table by an instruction of its own
            expected["ld", False, 4] = NUMBERS
            expected["ld", False, 8] = ADDRESSES_AND_STEPS[one.launch.kernel]
        found = accesses(one)
        if one.launch.change is not None:  # whether a number has become infinite
            assert found["st", False, 4] <= 1
            del found["st", False, 4]
        assert found == expected, one[:2]


def test_every_step_rounds(compiled: list[Compiled]) -> None:
    computing = [one for one in compiled if one.launch.change is not None]
    for one in computing:
        before, _, steps, _ = one.launch.change
        if one.gpu == "gfx942":
            # A division is five of these and a last one; none is left for what is multiplied and then added.
            fused = re.findall(
                r"\bv_(?:pk_)?(?:fma|fmac|mad|fma_mix\w+)_f(?:32|64)", one.text
            )
            assert len(fused) == 5 * len(re.findall(r"\bv_div_fixup_f", one.text))
            assert (
                re.findall(r"\.amdhsa_float_denorm_mode_\w+ (\d)", one.text)
                == ["3"] * 2
            )
            assert bool(fused) == (DIVIDE in steps)
            continue
        assert not re.findall(r"\bfma\.|\.ftz\b", one.text)
        divisions = set(re.findall(r"\bdiv\.(\w+\.f\d+)", one.text))
        wide = "rn.f64" if before == "F64" else "rn.f32"
        assert divisions == ({wide} if DIVIDE in steps else set())
