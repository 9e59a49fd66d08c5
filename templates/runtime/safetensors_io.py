"""The header of a safetensors file: read without trust, and written so that the data start on a page.

A file is 8 bytes of length, a JSON object of that length, and the data. What `read_header` returns has been
checked in full: every tensor is as long as its dtype and shape say, and the tensors cover the data without
a hole or an overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from json.encoder import encode_basestring_ascii
from math import prod
from typing import Any

from .errors import ConversionError
from .plain_header import FAR, bytes_spanned, plain_tensors
from .source_files import changed_meanwhile, check_is_fetched, open_regular
from .stored import FileIdentity, StoredTensor, item_size
from .strict_json import parse_object
from .values import STORED_DTYPES

HEADER_LIMIT = 100_000_000  # bytes, what the readers of safetensors accept
PAGE = 4096  # bytes; data and chunks of a written file start at a multiple of it


def read_header(path: str) -> dict[str, StoredTensor]:
    """The tensors of a file, by name, in the order of the header.

    Raises ConversionError where the file breaks the format.
    """
    text, seen = _header_text(path)
    data = 8 + len(text)
    plain = plain_tensors(text, path, data, seen)
    return _read_json(text, path, data, seen) if plain is None else plain


def _read_json(
    text: bytes, path: str, data: int, seen: FileIdentity
) -> dict[str, StoredTensor]:
    """The tensors of a header in any spelling; ConversionError for whatever is wrong with it."""
    entries = parse_object(text, path)
    if b"\\" in text:
        check_unicode(path, entries)
    _check_metadata(path, entries.pop("__metadata__", {}))
    tensors = {
        name: _stored_tensor(path, name, entry, data, seen)
        for name, entry in entries.items()
    }
    _check_cover(path, tensors, data, seen.size)
    return tensors


def make_header(
    tensors: Iterable[tuple[str, str, tuple[int, ...]]], map_sha256: str
) -> bytes:
    """The header of tensors (name, dtype, shape) whose data follow in this order, padded to whole pages.

    Its metadata are what loaders of Hugging Face ask for, and which map the file comes of.
    """
    entries = [f'{{"__metadata__":{{"format":"pt","mapc":"{map_sha256}"}}']
    end = 0
    said: dict[tuple[str, tuple[int, ...]], tuple[str, int]] = {}
    for name, dtype, shape in tensors:
        kind = dtype, shape
        if kind not in said:
            sizes = ",".join(map(str, shape))
            text = f'"dtype":"{dtype}","shape":[{sizes}]'
            said[kind] = text, prod(shape) * item_size(dtype)
        text, size = said[kind]
        begin, end = end, end + size
        offsets = f'"data_offsets":[{begin},{end}]'
        entries.append(f"{encode_basestring_ascii(name)}:{{{text},{offsets}}}")
    header = f"{','.join(entries)}}}".encode("ascii")
    header += b" " * (-(len(header) + 8) % PAGE)
    if len(header) > HEADER_LIMIT:
        raise ConversionError(
            f"one file of {len(entries) - 1} tensors: expected a header of at most {HEADER_LIMIT} bytes, "
            f"found {len(header)}; a smaller --max-shard-size makes more files"
        )
    return len(header).to_bytes(8, "little") + header


def _header_text(path: str) -> tuple[bytes, FileIdentity]:
    """The JSON text, behind which the data begin, and which file it was read of."""
    descriptor, seen = open_regular(path)
    with open(descriptor, "rb") as file:
        size, start = seen.size, file.read(8)
        length = int.from_bytes(start, "little")
        check_is_fetched(path, start)
        if len(start) < 8 or length > size - 8:
            raise ConversionError(
                f"{path}: expected a header of {length if len(start) == 8 else 8} bytes, found a file of {size}; "
                "it was cut off or is no safetensors file"
            )
        if length > HEADER_LIMIT:
            raise ConversionError(
                f"{path}: expected a header of at most {HEADER_LIMIT} bytes, found {length}"
            )
        text = file.read(length)
    if len(text) < length:
        raise changed_meanwhile(path, f"{size} bytes", f"{8 + len(text)}")
    if text[:1] != b"{":
        raise ConversionError(
            f"{path}: expected a header that begins with `{{`, found {text[:1]!r}; it is no safetensors file"
        )
    return text, seen


def _check_metadata(path: str, found: Any) -> None:
    texts = isinstance(found, dict) and all(
        isinstance(value, str) for value in found.values()
    )
    if not texts:
        raise ConversionError(
            f"{path}: __metadata__: expected an object of strings, found {found!r}"
        )


def check_unicode(path: str, entries: dict[str, Any]) -> None:
    """Half a surrogate pair is no character; Python's JSON takes it, other readers do not."""
    try:
        json.dumps(entries, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConversionError(f"{path}: expected UTF-8, found {error}") from None


def _stored_tensor(
    path: str, name: str, entry: Any, data: int, seen: FileIdentity
) -> StoredTensor:
    """The tensor of one header entry; `data` is where the data begin in the file."""
    where = f"{path}: {name}"
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise ConversionError(
            f"{where}: expected an object of dtype, shape and data_offsets, found {entry!r}"
        )
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in STORED_DTYPES:
        raise ConversionError(
            f"{where}: expected a dtype among {', '.join(STORED_DTYPES)}, found {dtype!r}"
        )
    if not _are_sizes(shape):
        raise ConversionError(
            f"{where}: expected a shape of sizes, 0 or more, found {shape!r}"
        )
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ConversionError(
            f"{where}: expected data_offsets [begin, end] with begin <= end, found {offsets!r}"
        )
    size, spanned = offsets[1] - offsets[0], bytes_spanned(dtype, tuple(shape))
    expected = 0 if 0 in shape else spanned
    if size != expected and spanned <= FAR:
        raise ConversionError(
            f"{where}: expected {expected} bytes for {dtype} {shape}, found {size}"
        )
    if spanned >= 2**64:
        raise ConversionError(
            f"{where}: expected a shape of fewer than 2**64 bytes, sizes of 0 aside, found {shape!r}"
        )
    begin = data + offsets[0]
    return StoredTensor(dtype, tuple(shape), path, begin, size, None, seen)


def _are_sizes(found: Any) -> bool:
    return isinstance(found, list) and all(
        type(item) is int and 0 <= item < 2**64 for item in found
    )


def _check_cover(
    path: str, tensors: dict[str, StoredTensor], data: int, size: int
) -> None:
    """The tensors, in the order of their data, follow each other and end with the file."""
    end = data
    for name, tensor in sorted(
        tensors.items(), key=lambda item: (item[1].begin, item[1].size)
    ):
        if tensor.begin != end:
            what = "a hole" if tensor.begin > end else "an overlap"
            raise ConversionError(
                f"{path}: {name}: expected to begin at byte {end - data}, where the tensor before it ends, "
                f"found {tensor.begin - data}, {what}"
            )
        end += tensor.size
    if end != size:
        raise ConversionError(
            f"{path}: expected {end - data} bytes of tensors, found {size - data}; "
            f"{'it was cut off, fetch it again' if end > size else 'nothing says what the rest is'}"
        )
