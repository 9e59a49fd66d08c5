"""Values that no tensor holds: what a map makes, and what stands in the place of a tensor that is absent.

Each element follows from its number alone, so any part of a tensor can be worked out, in any order, by any thread.
Random numbers are those of Philox 4x32-10, a generator that counts: the key is the seed and the name of the tensor,
the counter is the number of the element in the whole tensor, so they do not depend on the mesh or on the chunks.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import ConversionError
from .grid import Counts

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 1 << 14  # elements at once; more, and threads of torch wait for one another
RANDOM = ("normal", "uniform")
ROUNDED = (
    "rotary_inv_freq",
    "alibi",
)  # what others compute may differ in the last digits
WORD = 0xFFFFFFFF
# The least and the greatest whole number that a dtype holds.
WHOLE = {"U8": (0, 255), "BOOL": (0, 1)} | {
    f"I{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)
}


class Fill(NamedTuple):
    """What the elements are: `zeros`, `ones`, `full`, `arange`, `tril`, `rotary_inv_freq`, `alibi`, `normal`, `uniform`."""

    function: str
    arguments: tuple[Any, ...] = ()


class Filled(NamedTuple):
    """A source that is not there: its values, its shape, and what its random numbers are counted by.

    `by_target`: by the elements of the target, where that is the layout without a mesh.
    """

    fill: Fill
    shape: Counts
    name: str
    by_target: bool


class Region(NamedTuple):
    """A block of elements: where it begins in the source and in the target, steps there, counts."""

    start: int
    steps: Counts
    offset: int
    strides: Counts
    counts: Counts


def check_fill(where: str, fill: Fill, shape: Counts, dtype: str) -> None:
    """ConversionError where the values do not fit the shape or the dtype."""
    function, arguments = fill
    for argument in arguments:
        if type(argument) not in (int, float) or not math.isfinite(argument):
            raise ConversionError(
                f"{where}: {function}: expected a number, found {argument!r}"
            )
    asked = {"arange": (0,), "alibi": (0,), "tril": (0, 0), "rotary_inv_freq": (0,)}
    sizes = [arguments[n] for n in asked.get(function, ())]
    if function == "rotary_inv_freq":
        sizes = [arguments[0] / 2]
    last = _without_ones(shape) if function != "tril" else shape
    found = list(last[len(last) - len(sizes) :])
    if found != sizes and not (sizes == [1] and not last):
        raise ConversionError(
            f"{where}: {function}: expected {sizes} as the last axes, found {found} of {list(shape)}"
        )
    if function in RANDOM and type(arguments[-1]) is not int:
        raise ConversionError(
            f"{where}: {function}: expected a whole number as the seed, found {arguments[-1]!r}"
        )
    _check_range(where, fill, dtype)


def _check_range(where: str, fill: Fill, dtype: str) -> None:
    """ConversionError where a dtype of whole numbers does not hold the values."""
    if dtype not in WHOLE:
        return
    values: dict[str, list[Any]] = {"zeros": [0], "ones": [1], "tril": [0, 1]}
    values |= (
        {"full": list(fill.arguments), "arange": [max(0, fill.arguments[0] - 1)]}
        if fill.arguments
        else {}
    )
    low, high = WHOLE[dtype]
    for value in values.get(fill.function, [0.5]):
        if value != int(value) or not low <= value <= high:
            raise ConversionError(
                f"{where}: {fill.function}: expected values that {dtype} holds, found {value}"
            )


def fill_region(
    target: Tensor, region: Region, filled: Filled, base: int, compute: Any
) -> None:
    """Put the values of a region into a flat target, whose first element is element `base` of the whole tensor.

    `compute` is what becomes of the values on the way.
    """
    for part in _pieces(region):
        here = _numbers(part.offset + base, part.strides, part.counts)
        there = _numbers(part.start, part.steps, part.counts)
        numbers = (here if filled.by_target else there).to(target.device)
        values = compute(element_values(filled, numbers))
        target.as_strided(
            part.counts, part.strides, target.storage_offset() + part.offset
        ).copy_(values)


def _pieces(region: Region) -> Iterator[Region]:
    """A region in pieces of a bounded number of elements, cut along its first dim."""
    start, steps, offset, strides, counts = region
    if prod(counts) <= PIECE:
        yield region
        return
    count = max(1, PIECE // prod(counts[1:]))
    for first in range(0, counts[0], count):
        now = (min(count, counts[0] - first), *counts[1:])
        begin, end = start + first * steps[0], offset + first * strides[0]
        if count > 1 or len(counts) == 1:
            yield Region(begin, steps, end, strides, now)
        else:
            yield from _pieces(Region(begin, steps[1:], end, strides[1:], counts[1:]))


def _numbers(first: int, steps: Counts, counts: Counts) -> Tensor:
    """The numbers of the elements of a block: `first`, and a step for every index."""
    import torch

    found = torch.full((1,) * len(counts), first, dtype=torch.int64)
    for dim, (step, count) in enumerate(zip(steps, counts)):
        shape = [1] * len(counts)
        shape[dim] = count
        found = found + (torch.arange(count) * step).view(shape)
    return found


def element_values(filled: Filled, numbers: Tensor) -> Tensor:
    """The values of the elements with these numbers, as int64 or float64."""
    import torch

    function, arguments = filled.fill
    match function:
        case "zeros" | "ones":
            return torch.full_like(numbers, int(function == "ones"))
        case "full":
            whole = type(arguments[0]) is int
            dtype = torch.int64 if whole else torch.float64
            return torch.full_like(numbers, arguments[0], dtype=dtype)
        case "arange":
            return torch.remainder(numbers, arguments[0])
        case "tril":
            size = arguments[0]
            below = torch.le(numbers % size, numbers // size % size)
            return below.to(torch.int64)
        case "rotary_inv_freq" | "alibi":
            table = (
                _inv_freq(*arguments) if function != "alibi" else _slopes(*arguments)
            )
            values = torch.tensor(table, dtype=torch.float64, device=numbers.device)
            return values[numbers % len(table)]
        case "normal" | "uniform":
            return _random(function, arguments, filled.name, numbers)
        case _:
            raise AssertionError(f"no values are called {function}")


def _without_ones(shape: Counts) -> Counts:
    """The axes up to the last one that is longer than one."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def _float32(value: float) -> float:
    return float(struct.unpack("f", struct.pack("f", value))[0])


@cache
def _inv_freq(dim: int, base: float) -> tuple[float, ...]:
    """base ** -(2 i / dim), each step rounded to float32 as rotary embeddings compute it."""
    powers = [_float32(base ** _float32(i / dim)) for i in range(0, dim, 2)]
    return tuple(_float32(1 / power) for power in powers)


@cache
def _slopes(heads: int) -> tuple[float, ...]:
    """The slopes of ALiBi: a geometric series for a power of two of heads, and every other one of the next behind it."""
    closest = 2 ** int(math.log2(heads)) if heads else 0

    def series(count: int) -> float:
        return _float32(2 ** -(2 ** -(math.log2(count) - 3)))

    found = [_float32(series(closest) ** n) for n in range(1, closest + 1)]
    rest = heads - closest
    found += [_float32(series(2 * closest) ** n) for n in range(1, 2 * rest, 2)]
    return tuple(found)


def _random(
    function: str, arguments: tuple[Any, ...], name: str, numbers: Tensor
) -> Tensor:
    """Random numbers with 24 digits, so that the last digits of a logarithm do not matter."""
    import torch

    *scale, seed = arguments
    digest = sha256(f"{seed}:{name}".encode()).digest()
    key = int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")
    words = philox((numbers & WORD, numbers >> 32, numbers * 0, numbers * 0), key)
    one, other = _fraction(*words[:2]), _fraction(*words[2:])
    if function == "normal":
        one = torch.sqrt(-2 * torch.log(1 - one)) * torch.cos(2 * math.pi * other)
        scale = [0, scale[0]]
    shift, width = scale[0], scale[1] - scale[0]
    return torch.add(torch.mul(one.to(torch.float32).to(torch.float64), width), shift)


def _fraction(high: Tensor, low: Tensor) -> Tensor:
    """53 bits of two words as a number from 0 to 1, 1 excluded."""
    whole: Tensor = (high >> 5) * 2**26 + (low >> 6)
    return whole.double() / 2**53


def philox(
    counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four random words of 32 bits for each counter, in ten rounds."""
    a, b, c, d = counter
    keys = zip(
        accumulate([key[0], *[0x9E3779B9] * 9]), accumulate([key[1], *[0xBB67AE85] * 9])
    )
    for one, other in keys:
        first, second = (
            a * 0xD2511F53,
            c * 0xCD9E8D57,
        )  # int64 wraps; the bits are right
        a, b, c, d = (
            (second >> 32 & WORD) ^ b ^ (one & WORD),
            second & WORD,
            (first >> 32 & WORD) ^ d ^ (other & WORD),
            first & WORD,
        )
    return a, b, c, d
