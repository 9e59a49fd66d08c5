"""Files as torch.save writes them, put together code by code, so that they can say anything."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..runtime.files import WIDTHS, Stored

STORAGES = {"BF16": "BFloat16Storage", "F16": "HalfStorage", "F32": "FloatStorage"}
STORAGES |= {"U8": "ByteStorage", "I32": "IntStorage", "F64": "DoubleStorage"}


def named(module: str, name: str) -> bytes:
    """GLOBAL: what a name stands for."""
    return f"c{module}\n{name}\n".encode()


def text(value: str) -> bytes:
    """BINUNICODE."""
    data = value.encode("utf-8", "surrogatepass")
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value: int) -> bytes:
    """LONG4."""
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8b" + len(data).to_bytes(4, "little") + data


def several(*values: bytes) -> bytes:
    """TUPLE."""
    return b"(" + b"".join(values) + b"t"


def called(function: bytes, *arguments: bytes) -> bytes:
    """REDUCE."""
    return function + several(*arguments) + b"R"


def dictionary(entries: Mapping[str, bytes]) -> bytes:
    """EMPTY_DICT and SETITEMS."""
    return pairs((text(name), value) for name, value in entries.items())


def pairs(entries: object) -> bytes:
    """A dictionary with any keys, which may be there twice."""
    assert not isinstance(entries, (str, bytes))
    return b"}(" + b"".join(k + v for k, v in entries) + b"u"  # type: ignore[attr-defined]


def nested(depth: int) -> bytes:
    """A tuple of two times a tuple of two times, and so on: its hash, its text and its size take for ever."""
    return b")" + b"".join(b"q\1h\1\x86" for _ in range(depth))


def storage(kind: str, key: str, count: int) -> bytes:
    """The record that holds some elements."""
    said = (
        text("storage"),
        named("torch", kind),
        text(key),
        text("cpu"),
        number(count),
    )
    return several(*said) + b"Q"


def tensor(
    stored: bytes, shape: Sequence[int], strides: Sequence[int], offset: int = 0
) -> bytes:
    """A view of a storage."""
    return called(
        named("torch._utils", "_rebuild_tensor_v2"),
        stored,
        number(offset),
        several(*map(number, shape)),
        several(*map(number, strides)),
        b"\x89",
        called(named("collections", "OrderedDict")),
    )


def dense(key: int, one: Stored) -> bytes:
    """A tensor that is stored as it is, in a record of its own."""
    strides, step = list[int](), 1
    for size in reversed(one.shape):
        strides.insert(0, step)
        step *= size
    count = len(one.data) // WIDTHS[one.dtype]
    return tensor(storage(STORAGES[one.dtype], str(key), count), one.shape, strides)


def records_of(tensors: Mapping[str, Stored]) -> dict[str, bytes]:
    """The records of a file of these tensors."""
    entries = {name: dense(key, one) for key, (name, one) in enumerate(tensors.items())}
    data = {f"data/{key}": one.data for key, one in enumerate(tensors.values())}
    return {"data.pkl": pickled(dictionary(entries)), "byteorder": b"little", **data}


def pickled(value: bytes) -> bytes:
    """A whole pickle."""
    return b"\x80\x02" + value + b"."


def archive(records: Mapping[str, bytes], packed: bool = False) -> bytes:
    """The zip file of some records."""
    made = io.BytesIO()
    how = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(made, "w", how) as file:
        for name, data in records.items():
            file.writestr(zipfile.ZipInfo(f"archive/{name}"), data, how)
    return made.getvalue()


def write_torch(path: Path, tensors: Mapping[str, Stored]) -> Path:
    """A file of tensors as torch.save writes it."""
    path.write_bytes(archive(records_of(tensors)))
    return path


class Code:
    """Pickled as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call
