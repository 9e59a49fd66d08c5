"""The header of a safetensors file in the spelling that writers use, read column by column.

That takes half as long as reading JSON object by object, which is felt where a checkpoint has 100,000 tensors. What
is returned is what reading the JSON and checking it would give; a header that is spelled in another way, or that is
not as it should be, is left to that and its messages.
"""

from __future__ import annotations

import json
import re
from math import prod

from .errors import ConversionError
from .stored import FileIdentity, StoredTensor, item_size
from .strict_json import parse_object

# A name without escapes, then numbers that every reader takes; a space may follow a colon or a comma.
_NUMBER = "(0|[1-9][0-9]{0,17})"
_ENTRY = re.compile(
    r'"([^"\\\x00-\x1f]*)": ?\{"dtype": ?"(\w+)", ?"shape": ?\[([0-9, ]*)\], ?'
    rf'"data_offsets": ?\[{_NUMBER}, ?{_NUMBER}\]\}}'
)
_METADATA = re.compile(r'\{"__metadata__": ?(\{[^{}\\]*\}), ?')
FAR = 2**128  # bytes
_COLUMNS = 6  # what stands before an entry, and its five values


def plain_tensors(
    header: bytes, path: str, data: int, seen: FileIdentity
) -> dict[str, StoredTensor] | None:
    """The tensors of a header, every check done; None where it has to be read as JSON.

    The data begin at byte `data` of the file.
    """
    try:
        parts = _ENTRY.split(_without_metadata(header.decode("utf-8")))
        kinds = list(zip(parts[2::_COLUMNS], parts[3::_COLUMNS]))
        known = {kind: _dtype_shape_size(*kind) for kind in set(kinds)}
    except (ConversionError, ValueError, KeyError):
        return None
    begins, ends = (list(map(int, parts[n::_COLUMNS])) for n in (4, 5))
    tensors: dict[str, StoredTensor] = {}
    for name, kind, begin, end in zip(parts[1::_COLUMNS], kinds, begins, ends):
        dtype, shape, length = known[kind]
        if end - begin != length:
            return None
        begin += data
        tensors[name] = StoredTensor(dtype, shape, path, begin, length, None, seen)
    once = len(tensors) == len(kinds) and "__metadata__" not in tensors
    if once and _is_list(parts) and _are_joined(begins, ends, seen.size - data):
        return tensors
    return None


def _without_metadata(text: str) -> str:
    """What stands in the braces behind the metadata, and the last brace; ConversionError for odd metadata."""
    found = _METADATA.match(text)
    if found is None:
        return text[1:]
    values = parse_object(found[1].encode(), "").values()
    if not all(isinstance(value, str) for value in values):
        raise ConversionError("metadata that is not text")
    return text[found.end() :]


def _dtype_shape_size(dtype: str, text: str) -> tuple[str, tuple[int, ...], int]:
    """A dtype, a shape and the bytes of both; KeyError and ValueError where they are none."""
    shape = tuple(json.loads(f"[{text}]"))
    if bytes_spanned(dtype, shape) >= 2**64:
        raise ValueError("more bytes than readers count")
    return dtype, shape, prod(shape) * item_size(dtype)


def bytes_spanned(dtype: str, shape: tuple[int, ...]) -> int:
    """The bytes of a shape whose sizes of 0 count as 1, since some readers multiply from the left.

    Of those who are more than FAR only that they are: there may be millions of sizes.
    """
    spanned = item_size(dtype)
    for size in shape:
        spanned *= size or 1
        if spanned > FAR:
            break
    return spanned


def _is_list(parts: list[str]) -> bool:
    """Whether between the entries are commas, and nothing but the last brace is around them."""
    commas = {text.rstrip(" ") for text in parts[_COLUMNS:-1:_COLUMNS]}
    return commas <= {","} and parts[0] == "" and parts[-1].rstrip(" ") == "}"


def _are_joined(begins: list[int], ends: list[int], size: int) -> bool:
    """Whether the tensors, in the order of their data, follow each other without a hole and fill `size` bytes."""
    spans = sorted(zip(begins, ends))
    return [0, *(end for _, end in spans)] == [*(begin for begin, _ in spans), size]
