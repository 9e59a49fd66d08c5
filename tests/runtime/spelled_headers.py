"""Headers of safetensors files, drawn by hypothesis: good ones in many spellings, and ones that are broken in all ways.

A header is JSON whose objects are lists of pairs, so that a name may stand there twice.
"""

from __future__ import annotations

import json
from math import prod
from typing import Any

from hypothesis import strategies as st

WIDTHS = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "I16": 2, "F16": 2, "BF16": 2}
WIDTHS |= {"U32": 4, "F32": 4, "I64": 8, "F64": 8, "C64": 8}
PLAIN = ("a", "b.weight", "layers.0.q", "")
NAMES = st.sampled_from(
    [
        *PLAIN,
        "\u00e9",
        'quo"ted',
        "back\\slash",
        "\u202e",
        "\0",
        "\n",
        "[{",
        "__metadata__",
    ]
)
KEYS = ("dtype", "shape", "data_offsets")
# Values for any place, and texts that are no JSON or not of the kind that stands there.
VALUES = [None, True, False, "", "a", "U8", "F4", "F12", [], [0], [0, 1], [[]], -1, 0]
VALUES += [1, 2, 3, 8, 2**32, 2**40, 2**62, 2**63, 2**64 - 1, 2**64, 10**30, 0.0, 1.0]
VALUES += [1e300, {"U8": None}, {"a": 1}, ["U8", [1], [0, 1]]]
PIECES = b'" { } [ ] , : - 0 1 1e2 .5 -0 01 null true "a" \\ \\u00e9 \\ud800'.split(
    b" "
)
PIECES += [
    b" ",
    b"\t",
    b"\n",
    b"\xff",
    b"\0",
    b"\xc2\xa0",
    b"NaN",
    b'"F32"',
    b"\xef\xbb\xbf",
]
PIECES += [b'"shape":[0]', b'"dtype":"U8"', b"18446744073709551616", b"99999999999"]


class Pairs(list[tuple[str, Any]]):
    """An object of JSON."""


def paired(value: Any) -> Any:
    """A value with Pairs for its dictionaries."""
    if isinstance(value, dict):
        return Pairs((name, paired(inner)) for name, inner in value.items())
    return [paired(inner) for inner in value] if isinstance(value, list) else value


def read_pairs(text: bytes) -> Any:
    """The header that a text is."""
    return json.loads(text.decode(), object_pairs_hook=Pairs)


def spelled(value: Any, comma: str, colon: str, ascii_only: bool) -> str:
    """The text of a header."""
    inner = (comma, colon, ascii_only)
    if isinstance(value, Pairs):
        entries = (f"{spelled(n, *inner)}{colon}{spelled(v, *inner)}" for n, v in value)
        return f"{{{comma.join(entries)}}}"
    if isinstance(value, list):
        return f"[{comma.join(spelled(one, *inner) for one in value)}]"
    return json.dumps(value, ensure_ascii=ascii_only)


SPELLINGS = st.sampled_from(
    [(",", ":", True), (", ", ": ", True), (", ", ":", False), (",\n ", ":\t", True)]
)


@st.composite
def good(draw: st.DrawFn) -> tuple[Pairs, int]:
    """A good header, and the bytes of its data."""
    entries, end = Pairs(), 0
    for name in draw(st.lists(NAMES, max_size=4, unique=True)):
        if name == "__metadata__":
            continue
        dtype = draw(st.sampled_from(sorted(WIDTHS)))
        shape = draw(st.lists(st.integers(0, 3), max_size=3))
        size = prod(shape) * WIDTHS[dtype]
        entry = [
            ("dtype", dtype),
            ("shape", shape),
            ("data_offsets", [end, end + size]),
        ]
        entries.append((name, Pairs(draw(st.permutations(entry)))))
        end += size
    entries = Pairs(draw(st.permutations(entries)))
    metadata = draw(
        st.sampled_from([None, {}, {"format": "pt"}, {"a": "{}", "b": "\\"}])
    )
    if metadata is not None:
        entries.insert(
            draw(st.integers(0, len(entries))), ("__metadata__", paired(metadata))
        )
    return entries, end


@st.composite
def good_headers(draw: st.DrawFn) -> tuple[bytes, int]:
    """The text of a good header in one of many spellings, and the bytes of its data."""
    found, size = draw(good())
    text = spelled(found, *draw(SPELLINGS)).encode()
    return text + b" " * draw(st.integers(0, 9)), size


@st.composite
def other_bytes(draw: st.DrawFn) -> tuple[bytes, int]:
    """A header whose text is broken in one or two places, and data of a length that may be wrong."""
    text, size = draw(good_headers())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        gone = draw(st.sampled_from([0, 0, 1, 2, 5]))
        text = text[:at] + draw(st.sampled_from([b"", *PIECES])) + text[at + gone :]
    return text, max(0, size + draw(st.sampled_from([0, 0, 0, 1, -1, 8])))


@st.composite
def other_values(draw: st.DrawFn) -> tuple[bytes, int]:
    """A header that says something else in one to three places."""
    found, size = draw(good())
    for _ in range(draw(st.integers(1, 3))):
        change(draw, draw(st.sampled_from(_lists_in(found))))
    return spelled(found, *draw(SPELLINGS)).encode(), size


def _lists_in(value: Any) -> list[Any]:
    """Every object and list in a value, itself first."""
    found = [value]
    for inner in value:
        one = inner[1] if isinstance(value, Pairs) else inner
        found += _lists_in(one) if isinstance(one, list) else []
    return found


def change(draw: st.DrawFn, found: Any) -> None:
    """Put in, take out, repeat, exchange, or say something else in an object or a list."""
    value = paired(draw(st.sampled_from(VALUES)))
    if isinstance(found, Pairs):
        value = draw(st.one_of(NAMES, st.sampled_from(KEYS))), value
    at = draw(st.integers(0, max(0, len(found) - 1)))
    how = draw(st.sampled_from(["put", "take", "again", "say", "say", "say", "turn"]))
    if how == "put" or not found:
        found.insert(at, value)
    elif how == "take":
        del found[at]
    elif how == "again":
        found.append(found[at])
    elif how == "turn":
        found.reverse()
    elif isinstance(found, Pairs):
        found[at] = found[at][0], value[1]
    else:
        found[at] = value


ANY = st.recursive(
    st.sampled_from([value for value in VALUES if not isinstance(value, (list, dict))]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(
            st.tuples(st.one_of(NAMES, st.sampled_from(KEYS)), inner), max_size=4
        ).map(Pairs),
    ),
    max_leaves=12,
)


@st.composite
def any_values(draw: st.DrawFn) -> tuple[bytes, int]:
    """An object of anything, with entries that have the right keys, and data of any length."""
    kinds = st.one_of(st.sampled_from(sorted(WIDTHS)), ANY)
    numbers = st.lists(
        st.sampled_from([0, 0, 1, 2, 4, 8, 2**40, 2**63, -1]), max_size=3
    )
    entry = st.tuples(kinds, st.one_of(numbers, ANY), st.one_of(numbers, ANY))
    entries = entry.map(lambda values: Pairs(zip(KEYS, values)))
    found = draw(
        st.lists(st.tuples(NAMES, st.one_of(entries, entries, ANY)), max_size=3)
    )
    text = spelled(Pairs(found), *draw(SPELLINGS)).encode()
    return text, draw(st.sampled_from([0, 1, 2, 8]))


broken_headers = st.one_of(other_bytes(), other_values(), other_values(), any_values())
