"""Comparing two checkpoints, in whatever layouts they are stored: as tensors of one layout, chunk by chunk.

Bit by bit: 0.0 and -0.0 differ, and so do two kinds of NaN.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from math import prod
from operator import ne
from typing import Any

from .account import Account
from .collecting import without_collecting
from .compare import first_difference
from .difference import Difference, Element, TensorDifference, value_text
from .fingerprint import by_size, check_layout, taken_from
from .footprint import usable_cores
from .grid import index_of
from .layouts import Converter
from .opening import check_choices, check_request
from .output_files import OutputTensor
from .source_files import check_unchanged
from .stored import item_size
from .stream import CHUNK
from .strided import WORDS
from .weights import Asked, WeightReader, Weights, open_weights, weights_scratch
from .workers import Meter, Progress, one_torch_thread, run_threads


def diff_directories(
    converter: Converter,
    one: str | os.PathLike[str],
    other: str | os.PathLike[str],
    mesh: Any = None,
    other_mesh: Any = None,
    *,
    layout: str | None = None,
    other_layout: str | None = None,
    check_replicas: bool = False,
    allow_narrowing: bool = False,
    follow_links: bool = False,
    threads: int | None = None,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
    **choices: Any,
) -> Difference:
    """Compare the checkpoints in two directories, each stored in either layout.

    `layout` and `mesh` are of the first, `other_layout` and `other_mesh` of the second, where these do not tell;
    `choices`, options and variants by name, are of both. Raises ConversionError where a checkpoint is refused, OSError
    where reading fails, UsageError for arguments that make no sense.
    """
    account = Account(announce)
    check_choices(converter, choices)
    for said, sizes in ((layout, mesh), (other_layout, other_mesh)):
        check_layout(converter, said)
        check_request(converter, sizes, threads)
    rest = (choices, check_replicas, allow_narrowing, follow_links)
    with without_collecting():
        account.begin("planning")
        both = (
            open_weights(converter, os.fspath(one), Asked(layout, mesh, *rest)),
            open_weights(
                converter, os.fspath(other), Asked(other_layout, other_mesh, *rest)
            ),
        )
    account.begin("reading")
    names = [name for name in both[0].tensors if name in both[1].tensors]
    size = sum(both[0].tensors[name].size for name in names)
    threads = threads or min(4, usable_cores())
    found = _compared(both, names, threads, Meter(size, progress, account))
    for weights in both:
        check_unchanged(weights.source.folder.seen)
    account.end()
    return Difference(
        (os.fspath(one), os.fspath(other)),
        (both[0].layout, both[1].layout),
        (both[0].mesh, both[1].mesh),
        len(names),
        tuple(found[name] for name in names if name in found),
        (_missing_in(*both), _missing_in(*both[::-1])),
        tuple(sorted({*both[0].rounded, *both[1].rounded})),
        size,
        threads,
        sum(account.seconds.values()),
    )


def _missing_in(one: Weights, other: Weights) -> tuple[str, ...]:
    """The tensors that only the other one has."""
    return tuple(name for name in other.tensors if name not in one.tensors)


def _compared(
    both: tuple[Weights, Weights], names: list[str], threads: int, meter: Meter
) -> dict[str, TensorDifference]:
    """The tensors that differ, by name."""
    left = by_size(both[0].tensors[name] for name in names)
    scratch = max(map(weights_scratch, both))
    found: dict[str, TensorDifference] = {}

    def work() -> None:
        readers = WeightReader(both[0], scratch), WeightReader(both[1], scratch)
        chunks = bytearray(CHUNK), bytearray(CHUNK)
        try:
            for tensor in taken_from(left):
                name = tensor.transfer.name
                difference = _compare(both, readers, name, chunks, meter)
                if difference is not None:
                    found[name] = difference
        finally:
            for reader in readers:
                reader.close()

    with one_torch_thread():
        run_threads(work, max(1, min(threads, len(left))), meter)
    return found


def _compare(
    both: tuple[Weights, Weights],
    readers: tuple[WeightReader, WeightReader],
    name: str,
    chunks: tuple[bytearray, bytearray],
    meter: Meter,
) -> TensorDifference | None:
    """What differs in a tensor; None for nothing."""
    one, other = (weights.tensors[name] for weights in both)
    kinds = _kind_of(one), _kind_of(other)
    elements = prod(one.transfer.shape)
    if kinds[0] != kinds[1]:
        meter.add(one.size)
        return TensorDifference(name, kinds, elements, elements, None, None)
    width, different = item_size(one.dtype), 0
    first: tuple[int, tuple[Element, Element]] | None = None
    for begin in range(0, one.size, CHUNK):
        texts, length = chunks, min(CHUNK, one.size - begin)
        if length < CHUNK:
            texts = bytearray(length), bytearray(length)
        for reader, tensor, text in zip(readers, (one, other), texts):
            reader.fill(tensor, begin, memoryview(text))
        if texts[0] != texts[1]:
            different += _different_words(texts[0], texts[1], width)
            if first is None:
                at = first_difference(texts[0], texts[1]) // width
                number = begin // width + at
                first = number, (
                    _element(both[0], name, number, texts[0], at),
                    _element(both[1], name, number, texts[1], at),
                )
        meter.add(len(texts[0]))
    if first is None:
        return None
    index = index_of(first[0], one.transfer.shape)
    return TensorDifference(name, kinds, elements, different, index, first[1])


def _kind_of(tensor: OutputTensor) -> str:
    return f"{tensor.dtype} {list(tensor.transfer.shape)}"


def _element(
    weights: Weights, name: str, number: int, text: bytearray, at: int
) -> Element:
    """An element of a tensor, which is element `at` of a chunk."""
    dtype = weights.tensors[name].dtype
    width = item_size(dtype)
    value = value_text(bytes(text[at * width : (at + 1) * width]), dtype)
    return Element(value, weights.locate(name, number))


def _different_words(one: bytearray, other: bytearray, width: int) -> int:
    """How many elements differ."""
    try:
        import numpy
    except ImportError:
        words = (memoryview(text).cast(WORDS[width]) for text in (one, other))
        return sum(map(ne, *words))
    arrays = (numpy.frombuffer(text, f"u{width}") for text in (one, other))
    return int(numpy.count_nonzero(numpy.not_equal(*arrays)))
