"""Another floating-point dtype for the tensors that are written, as --dtype asks for it, and arithmetic on them.

Numbers are rounded once, to the nearest, as torch does it. Integers and truth values stay as they are.
"""

from __future__ import annotations

import math
from typing import Any

from .errors import ConversionError
from .fills import PIECE
from .recipe import Copy
from .stored import STORED_DTYPES, item_size
from .values import Change, compute

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


def cast_elements(source: memoryview, dtype: str, target: memoryview, to: str) -> None:
    """Cast the elements of one memory into another of as many elements."""
    as_tensor(target, to).copy_(as_tensor(source, dtype))


def compute_block(
    source: memoryview, change: Change, target: memoryview, to: str, block: Copy
) -> None:
    """Compute a block of one memory from the same place of another, in elements."""
    offset, strides, counts = block.offset, block.strides, block.counts
    here, there = as_tensor(target, to), as_tensor(source, change.dtype)
    values = compute(there.as_strided(counts, strides, offset), change.steps)
    here.as_strided(counts, strides, offset).copy_(values)


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
