"""Headers of safetensors files: what is read, and every way to break one."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.safetensors_io import HEADER_LIMIT, make_header, read_header
from mapc.templates.runtime.source_files import identity_of
from mapc.templates.runtime.stored import StoredTensor
from mapc.templates.runtime.values import STORED_DTYPES
from safetensors.torch import load_file, save_file

from .files import coded, with_header

DTYPES = ", ".join(STORED_DTYPES)


def entry(
    dtype: Any = "F32", shape: Any = (2, 3), offsets: Any = (0, 24), **more: Any
) -> Any:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def test_tensors_in_the_order_of_the_header(tmp_path: Path) -> None:
    header = {
        "__metadata__": {"format": "pt"},
        "b": entry("BF16", [3], [24, 30]),
        "a": entry(),
        "none": entry("I64", [5, 0], [24, 24]),
        "scalar": entry("BOOL", [], [30, 31]),
    }
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(header, bytes(31)))
    begin = 8 + len(json.dumps(header))
    seen = identity_of(path.stat())
    assert list(read_header(str(path)).items()) == [
        ("b", StoredTensor("BF16", (3,), str(path), begin + 24, 6, None, seen)),
        ("a", StoredTensor("F32", (2, 3), str(path), begin, 24, None, seen)),
        ("none", StoredTensor("I64", (5, 0), str(path), begin + 24, 0, None, seen)),
        ("scalar", StoredTensor("BOOL", (), str(path), begin + 30, 1, None, seen)),
    ]


def test_every_dtype_is_the_one_of_torch(tmp_path: Path) -> None:
    import torch

    tensors = {}
    for name, (_, spelled) in STORED_DTYPES.items():
        # The oldest torch and safetensors lack the newest ones.
        with suppress(AttributeError, KeyError):
            tensor = torch.zeros(3, dtype=getattr(torch, spelled))
            save_file({"x": tensor}, tmp_path / "one.safetensors")
            tensors[name] = tensor
    assert len(tensors) >= 12
    save_file(tensors, tmp_path / "model.safetensors")
    found = read_header(str(tmp_path / "model.safetensors"))
    assert {name: (tensor.dtype, tensor.size) for name, tensor in found.items()} == {
        name: (name, 3 * STORED_DTYPES[name][0]) for name in tensors
    }


def test_a_made_header_is_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    first, second = coded(0, "F32", 3, 5), coded(1, "BF16", 7)
    header = make_header([("first", "F32", (3, 5)), ("second", "BF16", (7,))], "5ha")
    assert len(header) == 4096
    path.write_bytes(header + first.data + second.data)
    found = load_file(path)
    assert {name: list(tensor.shape) for name, tensor in found.items()} == {
        "first": [3, 5],
        "second": [7],
    }
    assert found["first"].numpy().tobytes() == first.data


# What is wrong, the header, the data, the message after "FILE: ".
BROKEN: list[tuple[str, Any, bytes, str]] = [
    (
        "no object",
        b"[1, 2]",
        b"",
        "expected a header that begins with `{`, found b'['; it is no safetensors file",
    ),
    (
        "a space first",
        b' {"a":1}',
        b"",
        "expected a header that begins with `{`, found b' '; it is no safetensors file",
    ),
    (
        "no JSON",
        b'{"a": }',
        b"",
        "expected JSON, found a mistake: Expecting value: line 1 column 7 (char 6)",
    ),
    (
        "more JSON",
        b"{} {}",
        b"",
        "expected JSON, found a mistake: Extra data: line 1 column 4 (char 3)",
    ),
    (
        "no UTF-8",
        b'{"\xff": 1}',
        b"",
        (
            "expected JSON, found a mistake: 'utf-8' codec can't decode byte 0xff in position 2: "
            "invalid start byte"
        ),
    ),
    (
        "nested",
        b'{"a":' + b"[" * 100_000,
        b"",
        "expected JSON, found it nested too deeply",
    ),
    (
        "NaN",
        b'{"a": NaN}',
        b"",
        "expected JSON, found a mistake: NaN is no JSON number",
    ),
    (
        "a name twice",
        b'{"a": {"dtype": "U8"}, "b": 1, "a": {}}',
        b"",
        "expected JSON, found a mistake: `a` stands there twice",
    ),
    (
        "a key twice",
        b'{"a": {"dtype": "U8", "dtype": "I8", "shape": [1], "data_offsets": [0, 1]}}',
        b"",
        "expected JSON, found a mistake: `dtype` stands there twice",
    ),
    (
        "metadata",
        {"__metadata__": {"step": 3}},
        b"",
        "__metadata__: expected an object of strings, found {'step': 3}",
    ),
    (
        "a number for a tensor",
        {"a": 3},
        b"",
        "a: expected an object of dtype, shape and data_offsets, found 3",
    ),
    (
        "no shape",
        {"a": {"dtype": "U8", "data_offsets": [0, 1]}},
        b"\0",
        (
            "a: expected an object of dtype, shape and data_offsets, "
            "found {'dtype': 'U8', 'data_offsets': [0, 1]}"
        ),
    ),
    (
        "another key",
        {"a": entry("U8", [1], [0, 1], stride=[1])},
        b"\0",
        (
            "a: expected an object of dtype, shape and data_offsets, "
            "found {'dtype': 'U8', 'shape': [1], 'data_offsets': [0, 1], 'stride': [1]}"
        ),
    ),
    (
        "dtype",
        {"a": entry("F12")},
        bytes(24),
        f"a: expected a dtype among {DTYPES}, found 'F12'",
    ),
    (
        "dtype list",
        {"a": entry([])},
        bytes(24),
        f"a: expected a dtype among {DTYPES}, found []",
    ),
    (
        "half bytes",
        {"a": entry("F4", [2], [0, 1])},
        b"\0",
        f"a: expected a dtype among {DTYPES}, found 'F4'",
    ),
    (
        "negative size",
        {"a": entry(shape=[-2, -3])},
        bytes(24),
        "a: expected a shape of sizes, 0 or more, found [-2, -3]",
    ),
    (
        "true size",
        {"a": entry(shape=[6, True])},
        bytes(24),
        "a: expected a shape of sizes, 0 or more, found [6, True]",
    ),
    (
        "real size",
        {"a": entry(shape=[6.0])},
        bytes(24),
        "a: expected a shape of sizes, 0 or more, found [6.0]",
    ),
    (
        "three offsets",
        {"a": entry(offsets=[0, 12, 24])},
        bytes(24),
        "a: expected data_offsets [begin, end] with begin <= end, found [0, 12, 24]",
    ),
    (
        "offsets backwards",
        {"a": entry(offsets=[24, 0])},
        bytes(24),
        "a: expected data_offsets [begin, end] with begin <= end, found [24, 0]",
    ),
    (
        "too few bytes",
        {"a": entry(offsets=[0, 23])},
        bytes(23),
        "a: expected 24 bytes for F32 [2, 3], found 23",
    ),
    (
        "a huge shape",
        {"a": entry(shape=[2**62, 2**62])},
        bytes(24),
        f"a: expected {2**126} bytes for F32 {[2**62, 2**62]}, found 24",
    ),
    (
        "a hole",
        {"a": entry(), "b": entry(offsets=[25, 49])},
        bytes(49),
        "b: expected to begin at byte 24, where the tensor before it ends, found 25, a hole",
    ),
    (
        "a hole at the start",
        {"a": entry(offsets=[1, 25])},
        bytes(25),
        "a: expected to begin at byte 0, where the tensor before it ends, found 1, a hole",
    ),
    (
        "an overlap",
        {"a": entry(), "b": entry(offsets=[20, 44])},
        bytes(44),
        "b: expected to begin at byte 24, where the tensor before it ends, found 20, an overlap",
    ),
    (
        "the same place twice",
        {"a": entry(), "b": entry()},
        bytes(24),
        "b: expected to begin at byte 24, where the tensor before it ends, found 0, an overlap",
    ),
    (
        "cut off",
        {"a": entry()},
        bytes(20),
        "expected 24 bytes of tensors, found 20; it was cut off, fetch it again",
    ),
    (
        "bytes behind",
        {"a": entry()},
        bytes(25),
        "expected 24 bytes of tensors, found 25; nothing says what the rest is",
    ),
]


@pytest.mark.parametrize(
    "header, data, message",
    [case[1:] for case in BROKEN],
    ids=[case[0] for case in BROKEN],
)
def test_broken(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(header, data))
    with pytest.raises(ConversionError) as error:
        read_header(str(path))
    assert str(error.value) == f"{path}: {message}"


LENGTHS: list[tuple[str, bytes, str]] = [
    (
        "empty",
        b"",
        "expected a header of 8 bytes, found a file of 0; it was cut off or is no safetensors file",
    ),
    (
        "longer than the file",
        (99).to_bytes(8, "little") + b"{}",
        "expected a header of 99 bytes, found a file of 10; it was cut off or is no safetensors file",
    ),
    (
        "beyond 63 bits",
        b"\xff" * 8 + b"{}",
        (
            f"expected a header of {2**64 - 1} bytes, found a file of 10; "
            "it was cut off or is no safetensors file"
        ),
    ),
    (
        "git-lfs",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
        "expected a safetensors file, found a pointer of git-lfs; `git lfs pull` fetches the file",
    ),
]


@pytest.mark.parametrize(
    "content, message",
    [case[1:] for case in LENGTHS],
    ids=[case[0] for case in LENGTHS],
)
def test_broken_length(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ConversionError) as error:
        read_header(str(path))
    assert str(error.value) == f"{path}: {message}"


def test_a_header_beyond_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with open(path, "wb") as file:
        file.write((HEADER_LIMIT + 1).to_bytes(8, "little"))
        file.truncate(8 + HEADER_LIMIT + 1)  # a hole, which takes no room
    with pytest.raises(ConversionError) as error:
        read_header(str(path))
    assert str(error.value) == (
        f"{path}: expected a header of at most {HEADER_LIMIT} bytes, found {HEADER_LIMIT + 1}"
    )


STRANGE: list[tuple[str, bytes, str]] = [
    (
        "a product of sizes that is too large, but for a size of 0",
        b'{"a":{"dtype":"U8","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}}',
        (
            "a: expected a shape of fewer than 2**64 bytes, sizes of 0 aside, "
            "found [1099511627776, 1099511627776, 0]"
        ),
    ),
    (
        "minus zero",
        b'{"a":{"dtype":"U8","shape":[-0],"data_offsets":[0,0]}}',
        (
            "expected JSON, found a mistake: -0 is a whole number to some readers and none to others"
        ),
    ),
    (
        "half a character",
        b'{"\\ud800":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
        (
            "expected UTF-8, found 'utf-8' codec can't encode character '\\ud800' in position 2: "
            "surrogates not allowed"
        ),
    ),
]


@pytest.mark.parametrize(
    "header, message", [case[1:] for case in STRANGE], ids=[case[0] for case in STRANGE]
)
def test_what_readers_do_not_agree_on(
    tmp_path: Path, header: bytes, message: str
) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(with_header(header))
    with pytest.raises(ConversionError) as error:
        read_header(str(path))
    assert str(error.value) == f"{path}: {message}"
