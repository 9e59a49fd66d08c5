"""Another floating-point dtype for the tensors that are written, as --dtype asks for it, and arithmetic on them.

Numbers are rounded once, to the nearest, as torch does it. Integers and truth values stay as they are.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .errors import ConversionError
from .fills import PIECE
from .grid import Counts, dot
from .narrowing import Narrowing, may_narrow
from .recipe import Copy
from .stored import item_size
from .transfers import Transfer
from .values import STORED_DTYPES, Change, compute

CAST_DTYPES = {"f32": "F32", "bf16": "BF16", "f16": "F16"}
FLOATS = ("F64", "F32", "F16", "BF16")


def target_dtype(name: str, dtype: str, asked: str | None) -> str:
    """The dtype that a tensor is written in; `asked` is a value of CAST_DTYPES, or None to keep all."""
    if asked is None or dtype == asked:
        return dtype
    if dtype.startswith("F8_"):
        raise ConversionError(
            f"{name}: expected a dtype among {', '.join(FLOATS)} to cast to {asked}, found {dtype}; "
            "leave --dtype out to keep the codes"
        )
    return asked if dtype in FLOATS else dtype


def cast_scratch(dtypes: set[tuple[str, str]], chunk: int) -> int:
    """The bytes that hold the source of one chunk, for the worst of these pairs of dtypes (from, to)."""
    return max(
        (math.ceil(chunk * item_size(one) / item_size(to)) for one, to in dtypes),
        default=0,
    )


class Part(NamedTuple):
    """Elements of a target from number `first` on, in the dtype `to`; `narrowing` looks at them."""

    transfer: Transfer
    first: int
    to: str
    narrowing: Narrowing | None


def cast_elements(
    source: memoryview, dtype: str, target: memoryview, part: Part
) -> None:
    """Cast the elements of one memory into another of as many elements."""
    here, there = as_tensor(target, part.to), as_tensor(source, dtype)
    here.copy_(there)
    _look(part, Change(dtype, ()), there, here, 0, (1,))


def compute_block(
    source: memoryview, change: Change, target: memoryview, block: Copy, part: Part
) -> None:
    """Compute a block of one memory from the same place of another, in elements."""
    offset, strides, counts = block.offset, block.strides, block.counts
    here, there = as_tensor(target, part.to), as_tensor(source, change.dtype)
    here = here.as_strided(counts, strides, offset)
    there = there.as_strided(counts, strides, offset)
    here.copy_(compute(there, change.steps))
    _look(part, change, there, here, offset, strides)


def _look(
    part: Part, change: Change, there: Any, here: Any, offset: int, strides: Counts
) -> None:
    """Look for numbers that have become infinite."""
    transfer, first, to, narrowing = part
    if narrowing is not None and may_narrow(change, to):
        begin = first + offset
        narrowing.look(
            transfer, change, to, there, here, lambda index: begin + dot(strides, index)
        )


def computing_memory(chunk: int) -> int:
    """The bytes that torch takes to compute a chunk.

    At most two numbers of 8 bytes for each of its elements, and some more for pieces of what is made.
    """
    return chunk * 2 * 8 // min(item_size(dtype) for dtype in FLOATS) + 16 * 8 * PIECE


def check_cast_library(what: str, instead: str = "") -> None:
    """ConversionError where torch, which casts and computes, is not installed."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ConversionError(
            f"{what} needs torch, which is not installed; install it{instead}"
        ) from None


def as_tensor(memory: memoryview, dtype: str) -> Any:
    """Memory as a flat tensor of torch."""
    import torch

    return torch.frombuffer(memory, dtype=getattr(torch, STORED_DTYPES[dtype][1]))
