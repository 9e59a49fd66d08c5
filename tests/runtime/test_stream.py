"""The stream on drawn targets, whatever the chunk, against a loop over every element."""

from __future__ import annotations

from itertools import product
from math import prod
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapc.templates.runtime import output_files, runs, stream
from mapc.templates.runtime.account import Clock
from mapc.templates.runtime.casting import cast_scratch
from mapc.templates.runtime.checks import Source
from mapc.templates.runtime.output_files import OutputFile
from mapc.templates.runtime.recipe import Copy
from mapc.templates.runtime.safetensors_io import read_header
from mapc.templates.runtime.sharing import file_parts
from mapc.templates.runtime.stored import item_size
from mapc.templates.runtime.transfers import Transfer

from .files import Stored, coded, read, write

DTYPES = ("U8", "BF16", "F32", "F64")


class Drawn(NamedTuple):
    """A target tensor, and the sizes of its sources in elements."""

    shape: tuple[int, ...]
    copies: tuple[Copy, ...]
    zeros: tuple[Copy, ...]
    sources: tuple[int, ...]
    dtype: str


@st.composite
def drawn_targets(draw: st.DrawFn) -> Drawn:
    """A dense target, cut into slabs along one axis; each is a turned, spread or replicated source, or zeros."""
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    strides = tuple(prod(shape[dim + 1 :]) for dim in range(len(shape)))
    axis = draw(st.integers(0, len(shape) - 1))
    cuts = (
        sorted(draw(st.sets(st.integers(1, shape[axis] - 1))))
        if shape[axis] > 1
        else []
    )
    copies, zeros, sources = [], [], []
    for low, high in zip([0, *cuts], [*cuts, shape[axis]]):
        counts = (*shape[:axis], high - low, *shape[axis + 1 :])
        offset = low * strides[axis]
        if draw(st.integers(0, 4)) == 0:
            zeros.append(merged(Copy(-1, offset, strides, offset, strides, counts)))
            continue
        steps, extent = [0] * len(shape), 1
        for dim in draw(st.permutations(range(len(shape)))):
            if draw(st.integers(0, 6)):  # else replicated
                steps[dim] = extent * draw(st.sampled_from([1, 1, 1, 2]))
                extent = steps[dim] * counts[dim]
        start = draw(st.integers(0, 5))
        copies.append(
            merged(Copy(len(sources), start, tuple(steps), offset, strides, counts))
        )
        sources.append(start + extent)
    draw_order = draw(st.permutations(copies))
    dtype = draw(st.sampled_from(DTYPES))
    return Drawn(shape, tuple(draw_order), tuple(zeros), tuple(sources), dtype)


def merged(copy: Copy) -> Copy:
    """The copy as a plan has it: dims of one index left out, and dims merged where both sides allow."""
    dims: list[tuple[int, int, int]] = []
    for stride, step, count in zip(copy.strides, copy.steps, copy.counts):
        if count == 1:
            continue
        if dims and dims[-1][0] == stride * count and dims[-1][1] == step * count:
            dims[-1] = (stride, step, dims[-1][2] * count)
        else:
            dims.append((stride, step, count))
    return copy._replace(
        strides=tuple(dim[0] for dim in dims),
        steps=tuple(dim[1] for dim in dims),
        counts=tuple(dim[2] for dim in dims),
    )


def expected_bytes(target: Drawn, sources: list[Stored]) -> bytes:
    width = item_size(target.dtype)
    data = bytearray(prod(target.shape) * width)
    for copy in target.copies:
        source = sources[copy.source].data
        for index in product(*map(range, copy.counts)):
            start = copy.start + sum(i * step for i, step in zip(index, copy.steps))
            offset = copy.offset + sum(
                i * stride for i, stride in zip(index, copy.strides)
            )
            data[offset * width : (offset + 1) * width] = source[
                start * width : (start + 1) * width
            ]
    return bytes(data)


def drawn_file(
    folder: Path, targets: list[Drawn], dtype: str | None = None
) -> tuple[OutputFile, dict[str, Stored], stream.Assembler]:
    """The file of these targets, what is expected in it, and an assembler with tiny chunks."""
    transfers, expected, tensors = [], {}, {}
    for number, target in enumerate(targets):
        names = [f"{number}.{i}" for i in range(len(target.sources))] or [
            f"{number}.none"
        ]
        stored = [
            coded(number * 5 + i, target.dtype, size)
            for i, size in enumerate(target.sources or (1,))
        ]
        tensors.update(zip(names, stored))
        transfers.append(
            Transfer(
                "test",
                f"target.{number}",
                target.shape,
                tuple(Source(None, name) for name in names),
                target.copies,
                target.zeros,
                target.dtype,
            )
        )
        data = expected_bytes(target, stored)
        expected[f"target.{number}"] = Stored(target.dtype, target.shape, data)
    file = output_files.output_file("model.safetensors", transfers, dtype, {}, "")
    scratch = cast_scratch({(t.transfer.dtype, t.dtype) for t in file.tensors}, 64)
    found = {None: read_header(str(write(folder / "source.safetensors", tensors)))}
    return file, expected, stream.Assembler(found, 64, scratch)


@pytest.mark.parametrize("short_run, long_run", [(256, 1), (1, 16), (256, 1 << 16)])
@given(targets=st.lists(drawn_targets(), min_size=1, max_size=4))
def test_every_element(
    tmp_path_factory: pytest.TempPathFactory,
    short_run: int,
    long_run: int,
    targets: list[Drawn],
) -> None:
    folder = tmp_path_factory.mktemp("stream")
    file, expected, assembler = drawn_file(folder, targets)
    path = folder / file.name
    with pytest.MonkeyPatch.context() as context:
        context.setattr(stream, "SHORT_RUN", short_run)
        context.setattr(stream, "LONG_RUN", long_run)
        context.setattr(runs, "LONG_RUN", long_run)
        write_parts(assembler, file, path, 3 * 64)
    assembler.close()
    assert path.stat().st_size == file.size
    assert read(path) == expected


def write_parts(
    assembler: stream.Assembler, file: OutputFile, path: Path, size: int
) -> None:
    """Write a file in parts that end on multiples of a size."""
    stream.create_file(file, str(path))
    output = stream.OpenOutput(str(path), Clock(lambda count: None))
    for part in file_parts(file, size):
        stream.write_part(assembler, file, part, output)
    output.close()


@given(targets=st.lists(drawn_targets(), min_size=1, max_size=3))
def test_cast(tmp_path_factory: pytest.TempPathFactory, targets: list[Drawn]) -> None:
    import torch

    folder = tmp_path_factory.mktemp("cast")
    file, expected, assembler = drawn_file(folder, targets, "BF16")
    path = folder / file.name
    write_parts(assembler, file, path, 5 * 64)
    assembler.close()
    names = {"BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    for name, found in read(path).items():
        dtype, shape, data = expected[name]
        if dtype in names:
            whole = torch.frombuffer(bytearray(data), dtype=names[dtype]).to(
                torch.bfloat16
            )
            dtype, data = "BF16", whole.view(torch.int16).numpy().tobytes()
        assert found == Stored(dtype, shape, data)
