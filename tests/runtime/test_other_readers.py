"""Headers as the safetensors package reads them: what is accepted here it reads alike, what it refuses is refused.

Stricter here, on purpose: a name or a key twice, keys of an entry besides the three, metadata that is null, dtypes of
less than a byte, a header that is no file of its own length. The package is no part of a converter; this is why.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.plain_header import plain_tensors
from mapc.templates.runtime.safetensors_io import read_header
from mapc.templates.runtime.source_files import identity_of
from mapc.templates.runtime.stored import STORED_DTYPES, FileIdentity, StoredTensor
from safetensors import SafetensorError, safe_open

from .files import with_header

DTYPES = ("BOOL", "U8", "I8", "I16", "F16", "BF16", "I32", "F32", "I64", "F64")
NAMES = st.sampled_from(
    (
        "a",
        "b.weight",
        "layers.0.q",
        "\u00e9",
        'quo"ted',
        "back\\slash",
        "",
        "__metadata__",
    )
)
Spelled = dict[str, Any]


@st.composite
def headers(draw: st.DrawFn) -> tuple[bytes, int]:
    """The text of a good header in one of many spellings, and the bytes of its data."""
    entries: dict[str, Spelled] = {}
    end = 0
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        if name == "__metadata__":
            continue
        dtype = draw(st.sampled_from(DTYPES))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        size = STORED_DTYPES[dtype][0]
        for length in shape:
            size *= length
        offsets = [end, end + size]
        entry = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        keys = draw(st.sampled_from([list(entry), list(entry)[::-1]]))
        entries[name] = {key: entry[key] for key in keys}
        end += size
    order = draw(st.sampled_from([list(entries), list(entries)[::-1]]))
    metadata = draw(st.sampled_from([{}, {"format": "pt"}, {"a": "{}", "b": "\\"}]))
    found = {
        **({"__metadata__": metadata} if metadata else {}),
        **{n: entries[n] for n in order},
    }
    spelling: Spelled = draw(
        st.sampled_from(
            [
                {"separators": (",", ":")},
                {},
                {"separators": (", ", ":"), "ensure_ascii": False},
                {"indent": 1},
            ]
        )
    )
    text = json.dumps(found, **spelling).encode() + b" " * draw(st.integers(0, 9))
    return text, end


PIECES = [
    *(
        b'"',
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\t",
        b"-",
        b"0",
        b"1",
        b"1e2",
        b".5",
    ),
    *(
        b"-0",
        b"01",
        b"null",
        b"true",
        b'"a"',
        b"\\",
        b"\\u00e9",
        b"\\ud800",
        b"\xff",
        b"\0",
        b"\n",
    ),
    *(
        b'"shape":[0]',
        b'"dtype":"U8"',
        b"18446744073709551616",
        b"99999999999",
        b'"F32"',
    ),
]


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, int]:
    """A header that may be broken in one or two places, and data of a length that may be wrong."""
    text, size = draw(headers())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 5]))
        text = text[:at] + draw(st.sampled_from([b"", *PIECES])) + text[at + gone :]
    return text, max(0, size + draw(st.sampled_from([0, 0, 0, 1, -1, 8])))


def ours(path: Path) -> dict[str, StoredTensor] | None:
    try:
        return read_header(str(path))
    except ConversionError:
        return None


def theirs(path: Path) -> dict[str, tuple[str, tuple[int, ...]]] | None:
    try:
        with safe_open(path, "numpy") as file:
            names = file.keys()
            slices = {name: file.get_slice(name) for name in names}
            return {n: (s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
    except SafetensorError:
        return None


def write(folder: str, text: bytes, size: int) -> Path:
    path = Path(folder) / "model.safetensors"
    path.write_bytes(with_header(text, bytes(size)))
    return path


@given(headers())
def test_good_headers_are_read_alike(drawn: tuple[bytes, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, *drawn)
        read = ours(path)
        assert read is not None
        assert {n: (t.dtype, t.shape) for n, t in read.items()} == theirs(path)


@settings(max_examples=1500)
@given(mutated())
@example(
    (
        b'{"a":{"dtype":"U8","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}}',
        0,
    )
)
@example((b'{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}', 0))
@example((b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', 0))
def test_what_they_refuse_is_refused(drawn: tuple[bytes, int]) -> None:
    check_what_they_refuse(drawn)


@pytest.mark.long
@settings(max_examples=100_000)
@given(mutated())
def test_what_they_refuse_is_refused_often(drawn: tuple[bytes, int]) -> None:
    check_what_they_refuse(drawn)


def check_what_they_refuse(drawn: tuple[bytes, int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, *drawn)
        read, other = ours(path), theirs(path)
        if read is not None:
            assert {n: (t.dtype, t.shape) for n, t in read.items()} == other


@settings(max_examples=1500)
@given(mutated())
@example(
    (
        b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        0,
    )
)
@example((b'{"__metadata__":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', 0))
def test_columns_give_what_json_gives(drawn: tuple[bytes, int]) -> None:
    text, size = drawn
    assume(text[:1] == b"{")
    with tempfile.TemporaryDirectory() as folder:
        path, data = write(folder, text, size), 8 + len(text)
        plain = plain_tensors(text, str(path), data, FileIdentity(0, 0, data + size, 0))
        if plain is None:
            return
        indented = b"{\t" + text[1:]  # which is left to JSON
        path, moved = write(folder, indented, size), len(indented) - len(text)
        seen = identity_of(path.stat())
        assert plain_tensors(indented, str(path), data + moved, seen) is None
        read = ours(path)
        assert read is not None
        moved_plain = {
            n: t._replace(begin=t.begin + moved, seen=seen) for n, t in plain.items()
        }
        assert list(moved_plain.items()) == list(read.items())
