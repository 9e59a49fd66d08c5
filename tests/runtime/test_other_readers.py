"""Headers as the safetensors package reads them: the same verdict, and the same tensors, on any header.

Where this reader is stricter, or knows more, each such kind of header is listed with its reason, and with an example.
The package is no part of a converter; this is why.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, example, given, settings
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.plain_header import plain_tensors
from mapc.templates.runtime.safetensors_io import read_header
from mapc.templates.runtime.source_files import identity_of
from mapc.templates.runtime.stored import FileIdentity, StoredTensor
from mapc.templates.runtime.values import STORED_DTYPES
from safetensors import SafetensorError, deserialize, safe_open

from .files import with_header
from .spelled_headers import (
    Pairs,
    broken_headers,
    good_headers,
    other_bytes,
    read_pairs,
)

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]
ENTRY = '{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
EMPTY = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'


# ---- where the verdicts differ


class Difference(NamedTuple):
    """A kind of header that one reader takes and the other does not: why, whether a header is one, an example.

    A header is what its text says; where it is the text itself that tells, `by_text` is asked.
    """

    why: str
    by_content: Callable[[Pairs], bool]
    text: str
    size: int
    by_text: Callable[[bytes], bool] = bool

    def holds(self, text: bytes) -> bool:
        """Whether a header is of this kind."""
        return self.by_text(text) and self.by_content(read_pairs(text))


def is_any(_: Pairs) -> bool:
    return True


def begins_otherwise(text: bytes) -> bool:
    return text[:1] != b"{"


def has_a_name_twice(found: Any) -> bool:
    return isinstance(found, Pairs) and len({name for name, _ in found}) < len(found)


def has_a_text_twice(header: Pairs) -> bool:
    return any(
        has_a_name_twice(value) for name, value in header if name == "__metadata__"
    )


def entries_of(header: Pairs) -> list[Any]:
    return [value for name, value in header if name != "__metadata__"]


def said(header: Pairs, key: str) -> list[Any]:
    """What the entries say under a key, those in the form of a list among them."""
    at = ("dtype", "shape", "data_offsets").index(key)
    found = []
    for entry in entries_of(header):
        if isinstance(entry, Pairs):
            found += [value for name, value in entry if name == key]
        elif isinstance(entry, list) and len(entry) == 3:
            found.append(entry[at])
    return found


def has_other_keys(header: Pairs) -> bool:
    return any(
        name not in ("dtype", "shape", "data_offsets")
        for entry in entries_of(header)
        if isinstance(entry, Pairs)
        for name, _ in entry
    )


def has_lists(header: Pairs) -> bool:
    return any(
        isinstance(entry, list) and not isinstance(entry, Pairs)
        for entry in entries_of(header)
    )


def has_null_metadata(header: Pairs) -> bool:
    return ("__metadata__", None) in header


def has_small_dtypes(header: Pairs) -> bool:
    names = (dtype for dtype in said(header, "dtype"))
    return any(dtype in ("F4", "F6_E2M3", "F6_E3M2") for dtype in names)


def has_objects_for_dtypes(header: Pairs) -> bool:
    return any(isinstance(dtype, Pairs) for dtype in said(header, "dtype"))


def has_large_shapes_of_none(header: Pairs) -> bool:
    widths = [STORED_DTYPES.get(str(dtype), (1,))[0] for dtype in said(header, "dtype")]
    return any(
        0 in shape and width * prod(size or 1 for size in shape) >= 2**64
        for width, shape in zip(widths, said(header, "shape"))
    )


STRICTER = {
    "a space before the header": Difference(
        "the format says that it begins with a brace, and so do old versions of the package",
        is_any,
        " {}",
        0,
        begins_otherwise,
    ),
    "a name twice": Difference(
        "the package takes the last of several tensors, and the others are lost without a word",
        has_a_name_twice,
        f'{{"a":{EMPTY},"a":{EMPTY}}}',
        0,
    ),
    "a text of the metadata twice": Difference(
        "of several texts of the metadata it takes the last, too",
        has_a_text_twice,
        '{"__metadata__":{"a":"b","a":"c"}}',
        0,
    ),
    "a key besides the three": Difference(
        "nobody knows what it says of the tensor",
        has_other_keys,
        f'{{"a":{ENTRY[:-1]},"scale":2}}}}',
        1,
    ),
    "a list for an entry": Difference(
        "a way of the package's JSON reader to spell an object, which no writer uses",
        has_lists,
        '{"a":["U8",[1],[0,1]]}',
        1,
    ),
    "an object for a dtype": Difference(
        "the same, for one of several words",
        has_objects_for_dtypes,
        '{"a":{"dtype":{"U8":null},"shape":[1],"data_offsets":[0,1]}}',
        1,
    ),
    "metadata that are null": Difference(
        "the format says that they are an object",
        has_null_metadata,
        '{"__metadata__":null}',
        0,
    ),
    "elements of less than a byte": Difference(
        "no map says how they are packed",
        has_small_dtypes,
        '{"a":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}}',
        1,
    ),
    "a shape of no elements, and of more than can be counted": Difference(
        "the package takes it only where the 0 comes before the large sizes",
        has_large_shapes_of_none,
        '{"a":{"dtype":"U8","shape":[0,1099511627776,1099511627776],"data_offsets":[0,0]}}',
        0,
    ),
}


@cache
def is_known(dtype: str) -> bool:
    """Whether the installed package has a dtype: older ones lack the newest."""
    entry = {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}
    return theirs(json.dumps({"a": entry}).encode(), b"") is not None


def has_new_dtypes(header: Pairs) -> bool:
    dtypes = [dtype for dtype in said(header, "dtype") if dtype in STORED_DTYPES]
    return not all(map(is_known, dtypes))


LAXER = {
    "a dtype that an old package lacks": Difference(
        "the format has it",
        has_new_dtypes,
        '{"a":{"dtype":"C64","shape":[0],"data_offsets":[0,0]}}',
        0,
    )
}


# ---- the readers


def ours(text: bytes, data: bytes) -> Tensors | None:
    """The tensors of a file with this header and these data, None where it is refused."""
    written = with_header(text, data)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(written)
        file.flush()
        try:
            read = read_header(file.name)
        except ConversionError:
            return None
    return {
        name: (one.dtype, one.shape, written[one.begin : one.begin + one.size])
        for name, one in read.items()
    }


def theirs(text: bytes, data: bytes) -> Tensors | None:
    """The same, read by the package."""
    try:
        read = deserialize(with_header(text, data))
    except SafetensorError:
        return None
    return {
        name: (one["dtype"], tuple(one["shape"]), bytes(one["data"]))
        for name, one in read
    }


def compare(drawn: tuple[bytes, int]) -> None:
    """The verdicts are the same, or it is said why not."""
    text, size = drawn
    data = bytes(n % 251 for n in range(size))
    mine, other = ours(text, data), theirs(text, data)
    if mine is None and other is not None:
        reasons = STRICTER.values()
    elif mine is not None and other is None:
        reasons = LAXER.values()
    else:
        assert mine == other
        return
    assert any(reason.holds(text) for reason in reasons), (mine, other)


@settings(max_examples=300)
@given(good_headers())
def test_good_headers_are_read_alike(drawn: tuple[bytes, int]) -> None:
    text, size = drawn
    data = bytes(n % 251 for n in range(size))
    mine = ours(text, data)
    assert mine is not None
    old = has_new_dtypes(read_pairs(text))
    assert mine == theirs(text, data) or old


@settings(max_examples=700)
@given(broken_headers)
@example(
    (
        b'{"a":{"dtype":"U8","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}}',
        0,
    )
)
@example((b'{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}', 0))
@example((b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', 0))
def test_the_verdicts_are_the_same(drawn: tuple[bytes, int]) -> None:
    compare(drawn)


@pytest.mark.long
@settings(max_examples=100_000)
@given(broken_headers)
def test_the_verdicts_are_the_same_often(drawn: tuple[bytes, int]) -> None:
    compare(drawn)


@pytest.mark.parametrize("name", STRICTER)
def test_where_this_reader_is_stricter(name: str) -> None:
    """The package takes the example, this one does not; and no other reason holds, so none hides behind another."""
    one = STRICTER[name]
    text, data = one.text.encode(), bytes(one.size)
    if theirs(text, data) is None:
        pytest.skip("the installed safetensors is as strict")
    assert ours(text, data) is None
    assert [other for other in STRICTER if STRICTER[other].holds(text)] == [name]


@pytest.mark.parametrize("name", LAXER)
def test_where_this_reader_knows_more(name: str) -> None:
    one = LAXER[name]
    text, data = one.text.encode(), bytes(one.size)
    assert ours(text, data) is not None
    assert (theirs(text, data) is None) == one.holds(text)


@pytest.mark.parametrize(
    "text", ["{}", "{} \t\n", f'{{"a":{ENTRY}}}', f'{{"\\u0000":{ENTRY}}}']
)
def test_files_are_read_like_bytes(text: str, tmp_path: Path) -> None:
    """What is compared above is the parser behind what people open files with."""
    data = b"x" if "a" in text or "0" in text else b""
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(text.encode(), data))
    read = theirs(text.encode(), data)
    assert read is not None and read == ours(text.encode(), data)
    with safe_open(path, "numpy") as file:
        names = file.keys()
        found = {name: file.get_tensor(name).tobytes() for name in names}
    assert found == {name: data for name, (_, _, data) in read.items()}


# ---- the two ways in which headers are read here


@settings(max_examples=500)
@given(other_bytes())
@example((f'{{"a":{EMPTY},"a":{EMPTY}}}'.encode(), 0))
@example((f'{{"__metadata__":{EMPTY}}}'.encode(), 0))
def test_columns_give_what_json_gives(drawn: tuple[bytes, int]) -> None:
    compare_ways(drawn)


@pytest.mark.long
@settings(max_examples=20_000)
@given(other_bytes())
def test_columns_give_what_json_gives_often(drawn: tuple[bytes, int]) -> None:
    compare_ways(drawn)


def compare_ways(drawn: tuple[bytes, int]) -> None:
    """Columns give the same tensors as JSON, or leave the header to it."""
    text, size = drawn
    assume(text[:1] == b"{")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        data = 8 + len(text)
        plain = plain_tensors(text, str(path), data, FileIdentity(0, 0, data + size, 0))
        if plain is None:
            return
        indented = b"{\t" + text[1:]  # which is left to JSON
        path.write_bytes(with_header(indented, bytes(size)))
        seen, moved = identity_of(path.stat()), len(indented) - len(text)
        assert plain_tensors(indented, str(path), data + moved, seen) is None
        moved_plain = {
            n: t._replace(begin=t.begin + moved, seen=seen) for n, t in plain.items()
        }
        read: dict[str, StoredTensor] = read_header(str(path))
        assert list(moved_plain.items()) == list(read.items())
