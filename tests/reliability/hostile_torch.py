"""Kinds of hostile checkpoints: files of torch.save whose records are not what the pickle says, or that are no such files."""

from __future__ import annotations

import os
from collections.abc import Callable

from ..runtime.toy_checkpoint import E, V, hf_tensors
from .breaking import Break, Kind, content, holding, instead, linked
from .pickles import (
    archive,
    called,
    dictionary,
    named,
    nested,
    number,
    pickled,
    records_of,
    several,
    storage,
    tensor,
    text,
)

BIN = "pytorch_model.bin"
EMBED = "embed.weight"
BF16 = "BFloat16Storage"
COUNT = V * E
SYSTEM = called(named("posix", "system"), text("touch ../evil evil"))


def records(change: Callable[[dict[str, bytes]], object]) -> Break:
    """Other records in the file of tensors."""
    found = records_of(hf_tensors())
    change(found)
    return holding(BIN, archive(found))


def pickle(value: bytes) -> Break:
    """Another pickle before the same records."""
    return records(lambda found: found.update({"data.pkl": pickled(value)}))


def embedding(value: bytes) -> Break:
    """A pickle with this for its only tensor."""
    return pickle(dictionary({EMBED: value}))


def view(
    shape: list[int],
    strides: list[int],
    offset: int = 0,
    kind: str = BF16,
    count: int = COUNT,
) -> Break:
    """A pickle with this view of the first record."""
    return embedding(tensor(storage(kind, "0", count), shape, strides, offset))


def entry_of(data: bytes, name: str) -> int:
    """Where the directory of an archive says where the header of a record is: in four bytes."""
    return data.index(f"archive/{name}PK\1\2".encode()) - 4


def place_of(data: bytes, name: str) -> int:
    """Where it is."""
    at = entry_of(data, name)
    return int.from_bytes(data[at : at + 4], "little")


def placed(data: bytes, places: dict[str, int]) -> bytes:
    """An archive whose directory says other places of some records."""
    for name, place in places.items():
        at = entry_of(data, name)
        data = data[:at] + place.to_bytes(4, "little") + data[at + 4 :]
    return data


def exchanged(data: bytes) -> bytes:
    """Each of two records where the other one is."""
    one, other = place_of(data, "data/1"), place_of(data, "data/2")
    return placed(data, {"data/1": other, "data/2": one})


def nested_record(data: bytes) -> bytes:
    """The header of a record, and what it holds, in the middle of another one."""
    place, inside = place_of(data, "data/1"), place_of(data, "data/0") + 100
    piece = data[place : place_of(data, "data/2")]
    data = data[:inside] + piece + data[inside + len(piece) :]
    return placed(data, {"data/1": inside})


BF16_VIEW = tensor(storage(BF16, "0", COUNT), [V, E], [E, 1])
VIEWS = [
    Kind(
        "a record that is missing",
        records(lambda found: found.pop("data/0")),
        "SOURCE/pytorch_model.bin: embed.weight: expected 145 elements of BF16 in data/0, found no such record",
        "bin",
    ),
    Kind(
        "a record that is too short",
        records(lambda found: found.update({"data/0": found["data/0"][:-2]})),
        "SOURCE/pytorch_model.bin: embed.weight: expected 145 elements of BF16 in data/0, found 288 bytes",
        "bin",
    ),
    Kind(
        "a record that is too long",
        records(lambda found: found.update({"data/0": found["data/0"] + b"xx"})),
        "SOURCE/pytorch_model.bin: embed.weight: expected 145 elements of BF16 in data/0, found 292 bytes",
        "bin",
    ),
    Kind(
        "a tensor behind its record",
        view([V, E], [E, 1], 1),
        "SOURCE/pytorch_model.bin: embed.weight: expected elements of a storage that has 145, each once, found [29, 5] with the strides [5, 1] from element 1 on",
        "bin",
    ),
    Kind(
        "a tensor larger than its record",
        view([V + 1, E], [E, 1]),
        "SOURCE/pytorch_model.bin: embed.weight: expected elements of a storage that has 145, each once, found [30, 5] with the strides [5, 1] from element 0 on",
        "bin",
    ),
    Kind(
        "a tensor of a terabyte, one element",
        view([10**6, 10**6], [0, 0]),
        "SOURCE/pytorch_model.bin: embed.weight: expected elements of a storage that has 145, each once, found [1000000, 1000000] with the strides [0, 0] from element 0 on",
        "bin",
    ),
    Kind(
        "a tensor with a negative size",
        view([-V, E], [E, 1]),
        "SOURCE/pytorch_model.bin: embed.weight: expected an offset and as many strides as sizes, all of them counts, found something else",
        "bin",
    ),
    Kind(
        "a tensor that is read backwards",
        view([V, E], [-E, 1], COUNT - E),
        "SOURCE/pytorch_model.bin: embed.weight: expected an offset and as many strides as sizes, all of them counts, found something else",
        "bin",
    ),
    Kind(
        "a tensor with strides too few",
        view([V, E], [1]),
        "SOURCE/pytorch_model.bin: embed.weight: expected an offset and as many strides as sizes, all of them counts, found 1 strides and 2 sizes",
        "bin",
    ),
    Kind(
        "a shape of texts",
        embedding(
            called(
                named("torch._utils", "_rebuild_tensor_v2"),
                storage(BF16, "0", COUNT),
                number(0),
                several(text("29")),
                several(number(1)),
            )
        ),
        "SOURCE/pytorch_model.bin: embed.weight: expected an offset and as many strides as sizes, all of them counts, found something else",
        "bin",
    ),
    Kind(
        "a shape that prints for ever",
        embedding(
            called(
                named("torch._utils", "_rebuild_tensor_v2"),
                storage(BF16, "0", COUNT),
                number(0),
                nested(60),
                nested(60),
            )
        ),
        "SOURCE/pytorch_model.bin: embed.weight: expected an offset and as many strides as sizes, all of them counts, found something else",
        "bin",
    ),
    Kind(
        "a number of elements below 0",
        view([V, E], [E, 1], count=-COUNT),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found in its pickle no storage where a record is named",
        "bin",
    ),
    Kind(
        "complex numbers of 16 bytes",
        view([V, E], [E, 1], kind="ComplexDoubleStorage"),
        "SOURCE/pytorch_model.bin: embed.weight: expected a dense tensor of a plain dtype, found torch.ComplexDoubleStorage",
        "bin",
    ),
    Kind(
        "one record in two dtypes",
        pickle(
            dictionary(
                {
                    EMBED: BF16_VIEW,
                    "b": tensor(storage("HalfStorage", "0", COUNT), [5], [1]),
                }
            )
        ),
        "SOURCE/pytorch_model.bin: b: expected BF16 in data/0, as another tensor says, found F16",
        "bin",
    ),
    Kind(
        "a record with a path",
        embedding(tensor(storage(BF16, "../../../etc/passwd", COUNT), [V, E], [E, 1])),
        "SOURCE/pytorch_model.bin: embed.weight: expected 145 elements of BF16 in data/../../../etc/passwd, found no such record",
        "bin",
    ),
    Kind(
        "views of each other, many times over",
        pickle(
            dictionary(
                {
                    f"v{n}": tensor(storage(BF16, "0", COUNT), [E, V], [1, E])
                    for n in range(100)
                }
            )
        ),
        "SOURCE/pytorch_model.bin: v80: expected less to copy than the file has, 23438 bytes, found 23490; save the tensors as they are, not views of each other",
        "bin",
    ),
]
ARCHIVES = [
    Kind(
        "a .bin that is empty",
        holding(BIN, b""),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found a file that begins with b''",
        "bin",
    ),
    Kind(
        "a .bin that is a pickle alone",
        holding(BIN, pickled(SYSTEM)),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found a file that begins with b'\\x80\\x02cposix'",
        "bin",
    ),
    Kind(
        "a .bin that is a pointer of git-lfs",
        holding(BIN, b"version https://git-lfs.github.com/spec/v1\n"),
        "SOURCE/pytorch_model.bin: expected a file of torch.save, found a pointer of git-lfs; `git lfs pull` fetches the file",
        "bin",
    ),
    Kind(
        "a .bin that is cut off",
        content(BIN, lambda data: data[:-1000]),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found one that is cut off or broken",
        "bin",
    ),
    Kind(
        "a .bin with records behind its end",
        content(BIN, lambda data: data[:500] + data[-3000:]),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found one that is cut off or broken",
        "bin",
    ),
    Kind(
        "a .bin with bytes before it",
        content(BIN, lambda data: data[:30] + b"hidden" + data),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found its first record at byte 36",
        "bin",
    ),
    Kind(
        "a .bin with bytes behind it",
        content(BIN, lambda data: data + b"hidden"),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found bytes behind it that nothing tells of",
        "bin",
    ),
    Kind(
        "a .bin with a comment",
        content(BIN, lambda data: data[:-2] + b"\6\0hidden"),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found bytes behind it that nothing tells of",
        "bin",
    ),
    Kind(
        "a .bin with two records in one place",
        content(BIN, lambda data: placed(data, {"data/2": place_of(data, "data/1")})),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found one that is cut off or broken",
        "bin",
    ),
    Kind(
        "a .bin with two records exchanged",
        content(BIN, exchanged),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found one that is cut off or broken",
        "bin",
    ),
    Kind(
        "a .bin with a record in another",
        content(BIN, nested_record),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found data/1 in the place of another record",
        "bin",
    ),
    Kind(
        "a .bin that is packed",
        holding(BIN, archive(records_of(hf_tensors()), packed=True)),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found data.pkl packed",
        "bin",
    ),
    Kind(
        "a .bin of another byte order",
        records(lambda found: found.update(byteorder=b"big")),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found the byte order big",
        "bin",
    ),
    Kind(
        "a .bin without a pickle",
        records(lambda found: found.pop("data.pkl")),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found no data.pkl in it",
        "bin",
    ),
    Kind(
        "a .bin with a record twice",
        content(BIN, lambda data: data.replace(b"archive/data/10", b"archive/data/11")),
        "SOURCE/pytorch_model.bin: expected a zip file of plain tensors, as torch.save writes it, found data/11 twice",
        "bin",
    ),
    Kind(
        "a FIFO for a .bin",
        instead(BIN, os.mkfifo),
        "SOURCE/pytorch_model.bin: expected a file of tensors, found a FIFO",
        "bin",
    ),
    Kind(
        "a .bin that is a link to a secret",
        linked(BIN, "/etc/passwd"),
        "SOURCE/pytorch_model.bin: expected a file in this directory, found a link to /etc/passwd; --follow-links reads what is there",
        "bin",
    ),
    Kind(
        "a tensor of another shape in a .bin",
        view([E, V], [1, E]),
        "SOURCE/pytorch_model.bin: embed.weight [v e]: expected [29, 5] (v=29 e=5 vp=29), found [5, 29] (toy.map:26)",
        "bin",
    ),
]
KINDS = [*VIEWS, *ARCHIVES]
