"""Checkpoints for the tests of the runtime, written and read without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

WIDTHS = {
    "U8": 1,
    "F8_E4M3": 1,
    "BF16": 2,
    "F16": 2,
    "I16": 2,
    "F32": 4,
    "I32": 4,
    "F64": 8,
}


class Stored(NamedTuple):
    """A tensor of the tests: its bytes are row-major."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


def coded(number: int, dtype: str, *shape: int) -> Stored:
    """A tensor whose elements all differ, and differ from those of tensors of other numbers."""
    width = WIDTHS[dtype]
    first = number * 977 + 1
    words = ((first + i) % 256**width for i in range(prod(shape)))
    return Stored(
        dtype, shape, b"".join(word.to_bytes(width, "little") for word in words)
    )


def with_header(header: Any, data: bytes = b"") -> bytes:
    """The bytes of a file with this header, which may break any rule."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def write(path: Path, tensors: Mapping[str, Stored]) -> Path:
    """A safetensors file; its data begin wherever the header happens to end."""
    header, end = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {
            "dtype": dtype,
            "shape": shape,
            "data_offsets": [end, end + len(data)],
        }
        end += len(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(with_header(header, b"".join(t.data for t in tensors.values())))
    return path


def read(path: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file, in the order of their data."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header.pop("__metadata__", None)
    found = {}
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        low, high = entry["data_offsets"]
        data = content[end + low : end + high]
        found[name] = Stored(entry["dtype"], tuple(entry["shape"]), data)
    return found


def read_folder(path: Path) -> dict[str, Stored]:
    """The tensors of all safetensors files of a directory."""
    found: dict[str, Stored] = {}
    for file in sorted(path.glob("*.safetensors")):
        found.update(read(file))
    return found


def files_of(path: Path) -> dict[str, bytes]:
    """Every file below a directory, by relative name; without ledgers, which say how long a run took."""
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "mapc.json"
    }
