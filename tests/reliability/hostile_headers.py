"""Kinds of hostile checkpoints: safetensors files whose length, header or entries are not what they should be."""

from __future__ import annotations

from .breaking import (
    MODEL,
    Kind,
    content,
    deep,
    entry,
    every,
    header,
    holding,
    only,
    sparse,
    text,
)

LIMIT = 100_000_000
EMBED = '"shape": [29, 5], "data_offsets": [0, 290]'
ONE = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'

LENGTHS = [
    Kind(
        "an empty file",
        holding(MODEL, b""),
        "SOURCE/model.safetensors: expected a header of 8 bytes, found a file of 0; it was cut off or is no safetensors file",
    ),
    Kind(
        "no whole length",
        content(MODEL, lambda data: data[:5]),
        "SOURCE/model.safetensors: expected a header of 8 bytes, found a file of 5; it was cut off or is no safetensors file",
    ),
    Kind(
        "a header that is cut off",
        content(MODEL, lambda data: data[:200]),
        "SOURCE/model.safetensors: expected a header of 2273 bytes, found a file of 200; it was cut off or is no safetensors file",
    ),
    Kind(
        "a length beyond 63 bits",
        content(MODEL, lambda data: b"\xff" * 8 + data[8:]),
        "SOURCE/model.safetensors: expected a header of 18446744073709551615 bytes, found a file of 6141; it was cut off or is no safetensors file",
    ),
    Kind(
        "a header of no bytes",
        content(MODEL, lambda data: bytes(8) + data[8:]),
        "SOURCE/model.safetensors: expected a header that begins with `{`, found b''; it is no safetensors file",
    ),
    Kind(
        "a length that is too small",
        content(MODEL, lambda data: (50).to_bytes(8, "little") + data[8:]),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Expecting ',' delimiter: line 1 column 51 (char 50)",
    ),
    Kind(
        "a length that is too large",
        content(
            MODEL,
            lambda data: (int.from_bytes(data[:8], "little") + 3).to_bytes(8, "little")
            + data[8:],
        ),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Extra data: line 1 column 2274 (char 2273)",
    ),
    Kind(
        "a header beyond the limit",
        sparse(MODEL, (LIMIT + 1).to_bytes(8, "little"), LIMIT + 9),
        "SOURCE/model.safetensors: expected a header of at most 100000000 bytes, found 100000001",
    ),
    Kind(
        "a header of 100 MB of nothing",
        sparse(MODEL, LIMIT.to_bytes(8, "little") + b"{", LIMIT + 8),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ),
    Kind(
        "a header of 30 MB of brackets",
        only(b'{"a":[' + b"[],[" * 7_500_000, b""),
        "SOURCE/model.safetensors: expected JSON, found it nested too deeply",
    ),
    Kind(
        "data that are cut off",
        content(MODEL, lambda data: data[:-1]),
        "SOURCE/model.safetensors: expected 3860 bytes of tensors, found 3859; it was cut off, fetch it again",
    ),
    Kind(
        "no data",
        content(MODEL, lambda data: data[: 8 + int.from_bytes(data[:8], "little")]),
        "SOURCE/model.safetensors: expected 3860 bytes of tensors, found 0; it was cut off, fetch it again",
    ),
    Kind(
        "bytes behind the data",
        content(MODEL, lambda data: data + b"\0"),
        "SOURCE/model.safetensors: expected 3860 bytes of tensors, found 3861; nothing says what the rest is",
    ),
    Kind(
        "a pointer of git-lfs",
        holding(MODEL, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
        "SOURCE/model.safetensors: expected a safetensors file, found a pointer of git-lfs; `git lfs pull` fetches the file",
    ),
    Kind(
        "a zip file",
        content(MODEL, lambda data: b"PK\3\4\x14\0\0\0" + data),
        "SOURCE/model.safetensors: expected a header of 85966670672 bytes, found a file of 6149; it was cut off or is no safetensors file",
    ),
]
JSON = [
    Kind(
        "a header that is no JSON",
        only('{"a": }'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Expecting value: line 1 column 7 (char 6)",
    ),
    Kind(
        "a header that is no UTF-8",
        only(b'{"\xff": 1}'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: 'utf-8' codec can't decode byte 0xff in position 2: invalid start byte",
    ),
    Kind(
        "a mark of the byte order before the header",
        only(b"\xef\xbb\xbf{}"),
        "SOURCE/model.safetensors: expected a header that begins with `{`, found b'\\xef'; it is no safetensors file",
    ),
    Kind(
        "zeros behind the header",
        only(b"{}\0\0"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Extra data: line 1 column 3 (char 2)",
    ),
    Kind(
        "a name twice, once with an escape",
        text('"final.weight"', '"\\u0065mbed.weight"'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: `embed.weight` stands there twice",
    ),
    Kind(
        "half a character in three bytes",
        only(b'{"\xed\xa0\x80":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: 'utf-8' codec can't decode byte 0xed in position 2: invalid continuation byte",
    ),
    Kind(
        "an offset with a power",
        text("[0, 290]", "[0, 29e1]"),
        "SOURCE/model.safetensors: embed.weight: expected data_offsets [begin, end] with begin <= end, found [0, 290.0]",
    ),
    Kind(
        "an offset beyond all bits",
        only(
            '{"a":{"dtype":"U8","shape":[0],"data_offsets":[18446744073709551615,18446744073709551615]}}'
        ),
        "SOURCE/model.safetensors: a: expected to begin at byte 0, where the tensor before it ends, found 18446744073709551615, a hole",
    ),
    Kind(
        "a list for a header",
        only("[1, 2]"),
        "SOURCE/model.safetensors: expected a header that begins with `{`, found b'['; it is no safetensors file",
    ),
    Kind(
        "a header without tensors",
        only("{}"),
        "SOURCE/model.safetensors: embed.weight: missing; toy.map:26 reads it as [v e], expected [29, 5] (v=29 e=5 vp=29)",
    ),
    Kind(
        "a space before the header",
        only(' {"a":1}'),
        "SOURCE/model.safetensors: expected a header that begins with `{`, found b' '; it is no safetensors file",
    ),
    Kind(
        "two headers",
        only("{} {}"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Extra data: line 1 column 4 (char 3)",
    ),
    Kind(
        "brackets without end",
        only('{"a":' + "[" * 100_000),
        "SOURCE/model.safetensors: expected JSON, found it nested too deeply",
    ),
    Kind(
        "deep metadata",
        only('{"__metadata__":' + deep(200) + "}"),
        "SOURCE/model.safetensors: expected JSON, found it nested too deeply",
    ),
    Kind(
        "deep sizes",
        text("[29, 5]", deep(101)),
        "SOURCE/model.safetensors: expected JSON, found it nested too deeply",
    ),
    Kind(
        "NaN for a size",
        text("[29, 5]", "[NaN, 5]"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: NaN is no JSON number",
    ),
    Kind(
        "more than a number can be",
        text("[29, 5]", "[1e999, 5]"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: 1e999 is more than a number can be",
    ),
    Kind(
        "minus zero",
        text("[0, 290]", "[-0, 290]"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: -0 is a whole number to some readers and none to others",
    ),
    Kind(
        "a number of 5000 digits",
        text("[29, 5]", f"[{'9' * 5000}]"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: a number of 5000 digits",
    ),
    Kind(
        "half a character in a name",
        text('"embed.weight"', '"embed\\ud800weight"'),
        "SOURCE/model.safetensors: expected UTF-8, found 'utf-8' codec can't encode character '\\ud800' in position 7: surrogates not allowed",
    ),
    Kind(
        "a line end in a string",
        text('"embed.weight"', '"embed\n"'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: Invalid control character at: line 1 column 8 (char 7)",
    ),
    Kind(
        "a tensor twice",
        only(f"{{{ONE},{ONE}}}", b"x"),
        "SOURCE/model.safetensors: expected JSON, found a mistake: `a` stands there twice",
    ),
    Kind(
        "a key twice",
        text(EMBED, f'"dtype": "U8", {EMBED}'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: `dtype` stands there twice",
    ),
    Kind(
        "metadata twice",
        only('{"__metadata__":{},"__metadata__":{}}'),
        "SOURCE/model.safetensors: expected JSON, found a mistake: `__metadata__` stands there twice",
    ),
    Kind(
        "metadata that are null",
        only('{"__metadata__":null}'),
        "SOURCE/model.safetensors: __metadata__: expected an object of strings, found None",
    ),
    Kind(
        "metadata that are no text",
        only('{"__metadata__":{"step":3}}'),
        "SOURCE/model.safetensors: __metadata__: expected an object of strings, found {'step': 3}",
    ),
]
ENTRIES = [
    Kind(
        "a number for a tensor",
        header(lambda found: found.update(a=3)),
        "SOURCE/model.safetensors: a: expected an object of dtype, shape and data_offsets, found 3",
    ),
    Kind(
        "a list for a tensor",
        header(lambda found: found.update(a=["U8", [1], [0, 1]])),
        "SOURCE/model.safetensors: a: expected an object of dtype, shape and data_offsets, found ['U8', [1], [0, 1]]",
    ),
    Kind(
        "no shape",
        entry("embed.weight", shape=None),
        "SOURCE/model.safetensors: embed.weight: expected an object of dtype, shape and data_offsets, found {'dtype': 'BF16', 'data_offsets': [0, 290]}",
    ),
    Kind(
        "a key too many",
        entry("embed.weight", stride=[1]),
        "SOURCE/model.safetensors: embed.weight: expected an object of dtype, shape and data_offsets, found {'dtype': 'BF16', 'shape': [29, 5], 'data_offsets': [0, 290], 'stride': [1]}",
    ),
    Kind(
        "an unknown dtype",
        entry("embed.weight", dtype="F12"),
        "SOURCE/model.safetensors: embed.weight: expected a dtype among BOOL, U8, I8, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, F8_E8M0, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64, C64, found 'F12'",
    ),
    Kind(
        "elements of half a byte",
        entry("embed.weight", dtype="F4"),
        "SOURCE/model.safetensors: embed.weight: expected a dtype among BOOL, U8, I8, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, F8_E8M0, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64, C64, found 'F4'",
    ),
    Kind(
        "a list for a dtype",
        entry("embed.weight", dtype=["BF16"]),
        "SOURCE/model.safetensors: embed.weight: expected a dtype among BOOL, U8, I8, F8_E4M3, F8_E4M3FNUZ, F8_E5M2, F8_E5M2FNUZ, F8_E8M0, U16, I16, F16, BF16, U32, I32, F32, U64, I64, F64, C64, found ['BF16']",
    ),
    Kind(
        "a number for a shape",
        entry("embed.weight", shape=145),
        "SOURCE/model.safetensors: embed.weight: expected a shape of sizes, 0 or more, found 145",
    ),
    Kind(
        "a text for a size",
        entry("embed.weight", shape=["29", 5]),
        "SOURCE/model.safetensors: embed.weight: expected a shape of sizes, 0 or more, found ['29', 5]",
    ),
    Kind(
        "negative sizes",
        entry("embed.weight", shape=[-29, -5]),
        "SOURCE/model.safetensors: embed.weight: expected a shape of sizes, 0 or more, found [-29, -5]",
    ),
    Kind(
        "true for a size",
        entry("embed.weight", shape=[145, True]),
        "SOURCE/model.safetensors: embed.weight: expected a shape of sizes, 0 or more, found [145, True]",
    ),
    Kind(
        "a size with a point",
        entry("embed.weight", shape=[29.0, 5]),
        "SOURCE/model.safetensors: embed.weight: expected a shape of sizes, 0 or more, found [29.0, 5]",
    ),
    Kind(
        "a size beyond 64 bits",
        entry("embed.weight", shape=[2**64, 0]),
        "SOURCE/model.safetensors: embed.weight: expected a shape of sizes, 0 or more, found [18446744073709551616, 0]",
    ),
    Kind(
        "a shape beyond 63 bits",
        entry("embed.weight", shape=[2**62, 4]),
        "SOURCE/model.safetensors: embed.weight: expected 36893488147419103232 bytes for BF16 [4611686018427387904, 4], found 290",
    ),
    Kind(
        "a shape beyond all bits, but for a 0",
        entry("embed.weight", shape=[2**40, 2**40, 0], data_offsets=[0, 0]),
        "SOURCE/model.safetensors: embed.weight: expected a shape of fewer than 2**64 bytes, sizes of 0 aside, found [1099511627776, 1099511627776, 0]",
    ),
    Kind(
        "a hundred thousand large sizes",
        entry("embed.weight", shape=[2**63] * 100_000),
        "SOURCE/model.safetensors: embed.weight: expected a shape of fewer than 2**64 bytes, sizes of 0 aside, "
        f"found {[2**63] * 100_000}",
    ),
    Kind(
        "three offsets",
        entry("embed.weight", data_offsets=[0, 100, 290]),
        "SOURCE/model.safetensors: embed.weight: expected data_offsets [begin, end] with begin <= end, found [0, 100, 290]",
    ),
    Kind(
        "a negative offset",
        entry("embed.weight", data_offsets=[-290, 0]),
        "SOURCE/model.safetensors: embed.weight: expected data_offsets [begin, end] with begin <= end, found [-290, 0]",
    ),
    Kind(
        "offsets backwards",
        entry("embed.weight", data_offsets=[290, 0]),
        "SOURCE/model.safetensors: embed.weight: expected data_offsets [begin, end] with begin <= end, found [290, 0]",
    ),
    Kind(
        "a text for an offset",
        entry("embed.weight", data_offsets=["0", 290]),
        "SOURCE/model.safetensors: embed.weight: expected data_offsets [begin, end] with begin <= end, found ['0', 290]",
    ),
    Kind(
        "offsets behind the file",
        entry("final.weight", data_offsets=[2**40, 2**40 + 10]),
        "SOURCE/model.safetensors: final.weight: expected to begin at byte 3850, where the tensor before it ends, found 1099511627776, a hole",
    ),
    Kind(
        "a dtype of other bytes",
        entry("embed.weight", dtype="F32"),
        "SOURCE/model.safetensors: embed.weight: expected 580 bytes for F32 [29, 5], found 290",
    ),
    Kind(
        "a shape of other bytes",
        entry("embed.weight", shape=[29, 4]),
        "SOURCE/model.safetensors: embed.weight: expected 232 bytes for BF16 [29, 4], found 290",
    ),
    Kind(
        "a hole",
        every(
            entry("final.weight", data_offsets=[3852, 3862]),
            content(MODEL, lambda data: data + b"\0\0"),
        ),
        "SOURCE/model.safetensors: final.weight: expected to begin at byte 3850, where the tensor before it ends, found 3852, a hole",
    ),
    Kind(
        "a hole at the beginning",
        only(f'{{{ONE.replace("[0,1]", "[1,2]")}}}', b"xx"),
        "SOURCE/model.safetensors: a: expected to begin at byte 0, where the tensor before it ends, found 1, a hole",
    ),
    Kind(
        "an overlap",
        entry("layers.0.norm.weight", data_offsets=[280, 290]),
        "SOURCE/model.safetensors: layers.0.norm.weight: expected to begin at byte 290, where the tensor before it ends, found 280, an overlap",
    ),
    Kind(
        "two tensors in one place",
        entry("layers.1.norm.weight", data_offsets=[290, 300]),
        "SOURCE/model.safetensors: layers.1.norm.weight: expected to begin at byte 300, where the tensor before it ends, found 290, an overlap",
    ),
]
KINDS = [*LENGTHS, *JSON, *ENTRIES]
