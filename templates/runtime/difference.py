"""What differs between two checkpoints: the account of a comparison."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from .sizes import size_text
from .weights import Location

SHOWN = 20  # tensors that are named; the rest are counted
# How `struct` reads an element; one of BF16 is the upper half of one of F32.
FORMATS = {
    "F64": "<d",
    "F32": "<f",
    "BF16": "<f",
    "F16": "<e",
    "BOOL": "<?",
    "C64": "<ff",
    "I8": "<b",
    "I16": "<h",
    "I32": "<i",
    "I64": "<q",
    "U8": "<B",
    "U16": "<H",
    "U32": "<I",
    "U64": "<Q",
}


class Element(NamedTuple):
    """An element of one of the checkpoints: its value, and where it is stored (None: it is padding, or a default)."""

    value: str
    where: Location | None

    def __str__(self) -> str:
        return f"{self.where or 'not stored'}: {self.value}"


class TensorDifference(NamedTuple):
    """A tensor that differs: in dtype or shape, or in so many elements of which this is the first."""

    name: str
    kinds: tuple[str, str]  # dtype and shape, in both
    elements: int
    different: int
    first: list[int] | None
    values: tuple[Element, Element] | None

    def __str__(self) -> str:
        if self.first is None:
            return f"{self.name}: {self.kinds[0]} and {self.kinds[1]}"
        return f"{self.name}: {self.different} of {self.elements} elements, the first is {self.first}"


@dataclass(frozen=True)
class Difference:
    """What was found of two checkpoints."""

    directories: tuple[str, str]
    layouts: tuple[str, str]  # that they are stored in
    meshes: tuple[Mapping[str, int], Mapping[str, int]]
    tensors: int  # that both have
    different: tuple[TensorDifference, ...]  # in the order of the map
    missing: tuple[tuple[str, ...], tuple[str, ...]]  # in the first, and in the second
    rounded: tuple[str, ...]  # tensors on whose way is arithmetic or a smaller dtype
    bytes: int
    threads: int
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.different and not any(self.missing)

    def to_json(self) -> str:
        """All of it as a JSON object."""
        different = [
            {
                **tensor._asdict(),
                "values": tensor.values and [_as_object(one) for one in tensor.values],
            }
            for tensor in self.different
        ]
        found = {**asdict(self), "different": different}
        return json.dumps({"equal": self.equal, **found}, indent=2)

    def __str__(self) -> str:
        counts = f"{self.tensors} tensors ({size_text(self.bytes)})"
        rate = self.bytes / 1e9 / self.seconds if self.seconds else 0.0
        lines = [
            (
                f"equal: {counts}"
                if self.equal
                else f"different: {len(self.different)} of {counts}"
            )
        ]
        for directory, layout, mesh in zip(self.directories, self.layouts, self.meshes):
            sizes = "".join(f" {dim}={size}" for dim, size in mesh.items())
            lines.append(f"  {directory}: {layout}{sizes}")
        lines += self._first()
        lines += _shortened_list(list(map(str, self.different)), "tensors differ")
        for directory, names in zip(self.directories, self.missing):
            names = tuple(f"missing in {directory}: {name}" for name in names)
            lines += _shortened_list(list(names), f"are missing in {directory}")
        if self.rounded:
            lines.append(
                f"{len(self.rounded)} tensors are rounded on the way between the layouts, and may differ by that"
            )
        return "\n".join([*lines, f"{self.seconds:.2f} s, {rate:.2f} GB/s"])

    def _first(self) -> list[str]:
        """The first element that differs, in the names and files of both."""
        for tensor in self.different:
            if tensor.values is not None:
                places = zip(self.directories, tensor.values)
                return [
                    f"first: {tensor.name} {tensor.first}",
                    *(f"  {directory}: {element}" for directory, element in places),
                ]
        return []


def _as_object(element: Element) -> dict[str, Any]:
    where = element.where
    return {"value": element.value, "where": where and where._asdict()}


def _shortened_list(lines: list[str], what: str) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - SHOWN
    return lines if more <= 0 else [*lines[:SHOWN], f"and {more} more {what}"]


def value_text(element: bytes, dtype: str) -> str:
    """An element as a number, if it is one of Python, and its bytes."""
    code = element.hex(" ")
    if dtype not in FORMATS:
        return code
    padded = bytes(2) + element if dtype == "BF16" else element
    numbers = struct.unpack(FORMATS[dtype], padded)
    return f"{', '.join(map(str, numbers))} ({code})"
