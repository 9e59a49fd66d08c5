"""--verify sees every flipped bit: in headers, in tensors, in documents and in copied files, whoever wrote them.

The bit is flipped behind the back of the converter, between the writing of a piece and the reading of it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..runtime.files import coded, read
from ..runtime.toy import load_toy
from ..runtime.toy_checkpoint import (
    PADDED,
    D,
    E,
    F,
    G,
    H,
    hf_tensors,
    write_hf,
    write_mcore,
)
from .commands import everything_below, run


class Case(NamedTuple):
    """A conversion by the command line: a source, and the arguments behind source and target."""

    command: str
    source: Callable[[Path], Path]
    arguments: tuple[str, ...]


def hf_source(path: Path) -> Path:
    write_hf(path)
    (path / "tokenizer.json").write_text('{"kept": "as it is"}')
    return path


def ranks_source(path: Path) -> Path:
    return write_mcore(path, hf_tensors(), 2, 2)


def wide_source(path: Path) -> Path:
    """Rows long enough that ranks, which hold some columns each, are written together."""
    sizes = {"layers": 2, "e": 6, "g": 2, "h": 1, "d": 2, "f": 602, "v": 9}
    e, f = sizes["e"], sizes["f"]
    shapes = {"norm": (e,), "q": (4, e), "k": (4, e), "v": (4, e)}
    shapes |= {"down": (e, f), "up": (e, f)}
    tensors = {"embed.weight": coded(0, "BF16", 9, e)}
    for layer in range(sizes["layers"]):
        for name, shape in shapes.items():
            number = len(tensors)
            tensors[f"layers.{layer}.{name}.weight"] = coded(number, "BF16", *shape)
    tensors["final.weight"] = coded(len(tensors), "BF16", e)
    return write_hf(path, tensors, **{f"hf_{n}": size for n, size in sizes.items()})


EIGHTS = ("--set", "vocab_multiple=8")
RANKS_OF_4 = ("--tp", "2", "--pp", "2")
ONE_FILE = Case("to-mcore", hf_source, EIGHTS)
RANKS = Case("to-mcore", hf_source, (*EIGHTS, *RANKS_OF_4, "--threads", "3"))
SHARDS = Case("to-hf", ranks_source, ("--max-shard-size", "1KB", "--threads", "2"))
SIBLINGS = Case("to-mcore", wide_source, (*EIGHTS, "--tp", "2", "--threads", "2"))
CAST = Case("to-hf", ranks_source, ("--dtype", "f32", "--threads", "1"))


def convert(
    capsys: pytest.CaptureFixture[str], case: Case, path: Path, *more: str
) -> Any:
    source = path / "source"
    if not source.exists():
        case.source(source)
    return run(
        capsys, case.command, source, path / "target", *case.arguments, "--quiet", *more
    )


def flip(path: str | Path, at: int, bit: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1 << bit]))


def flip_behind(
    monkeypatch: pytest.MonkeyPatch, name: str, at: int, bit: int
) -> list[str]:
    """Have this bit flipped as soon as it is written; each time that it was, the path is in the list."""
    flipped: list[str] = []
    write = load_toy().write_at

    def written(descriptor: int, view: memoryview, position: int, path: str) -> None:
        write(descriptor, view, position, path)
        if path.endswith(f"/{name}") and position <= at < position + len(view):
            flip(path, at, bit)
            flipped.append(path)

    monkeypatch.setattr(load_toy(), "write_at", written)
    return flipped


# ---- one bit in every region


def places(content: bytes) -> Iterator[tuple[str, int]]:
    """The bytes of a safetensors file where a bit is flipped, and what is there."""
    data = 8 + int.from_bytes(content[:8], "little")
    text = content[8:data].rstrip(b" ")
    yield from (("the lowest byte of the length", 0), ("its highest byte", 7))
    yield from (("the first brace", 8), ("the last brace", 7 + len(text)))
    yield from (("the metadata", 8 + text.index(b'"pt"') + 1), ("a name", 200))
    yield from (("the padding", 8 + len(text)), ("its end", data - 1))
    header = json.loads(text)
    header.pop("__metadata__")
    spans = sorted(entry["data_offsets"] for entry in header.values())
    for which, (begin, end) in (
        ("first", spans[0]),
        ("middle", spans[len(spans) // 2]),
        ("last", spans[-1]),
    ):
        yield f"first byte of the {which} tensor", data + begin
        yield f"middle of the {which} tensor", data + (begin + end) // 2
        yield f"last byte of the {which} tensor", data + end - 1


def differs(path: Path, at: int, bit: int, content: bytes) -> str:
    """What has to be said about a bit of a file that should have this content."""
    what, data = "", 8 + int.from_bytes(content[:8], "little")
    if path.suffix == ".safetensors" and at >= data:
        name, shape, begin, width = element_at(content, at)
        index, rest = [], (at - begin) // width
        for size in reversed(shape):
            index.insert(0, rest % size)
            rest //= size
        first = at - (at - begin) % width
        one = bytearray(content[first : first + width])
        said = f"expected the bytes {one.hex(' ')}"
        one[at - first] ^= 1 << bit
        what = f"{name}: element {index}: {said}, found {one.hex(' ')}"
    else:
        region = ("length of the header: ", "header: ")[at >= 8]
        what = region if path.suffix == ".safetensors" else ""
        what += (
            f"byte {at}: expected {content[at]:02x}, found {content[at] ^ 1 << bit:02x}"
        )
    return (
        f"error: {path}: {what}; the file differs from what was written to it, "
        "the storage is not reliable\n"
    )


def element_at(content: bytes, at: int) -> tuple[str, list[int], int, int]:
    """The tensor at a byte of a file: name, shape, where it begins, bytes of an element."""
    data = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data])
    header.pop("__metadata__")
    for name, entry in header.items():
        begin, end = (data + offset for offset in entry["data_offsets"])
        if begin <= at < end:
            width = {"BF16": 2, "F32": 4}[entry["dtype"]]
            return name, entry["shape"], begin, width
    raise AssertionError(f"no tensor at byte {at}")


@pytest.mark.parametrize(
    "case",
    [ONE_FILE, RANKS, SIBLINGS, SHARDS, CAST],
    ids=["one-file", "ranks", "siblings", "shards", "cast"],
)
def test_a_bit_in_every_region(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: Case
) -> None:
    assert convert(capsys, case, tmp_path, "--verify") == (0, "", "")
    shutil.move(tmp_path / "target", tmp_path / "clean")
    every = sorted(p for p in (tmp_path / "clean").rglob("*.safetensors"))
    before = everything_below(tmp_path)
    for file in dict.fromkeys((every[0], every[-1])):
        name, content = (
            file.relative_to(tmp_path / "clean").as_posix(),
            file.read_bytes(),
        )
        for bit, (what, at) in enumerate(places(content)):
            with pytest.MonkeyPatch.context() as context:
                flipped = flip_behind(context, name, at, bit % 8)
                found = convert(capsys, case, tmp_path, "--verify")
            assert len(flipped) == 1, what
            path = tmp_path / ".target.mapc-partial" / name
            assert found == (1, "", differs(path, at, bit % 8, content)), what
            assert everything_below(tmp_path) == before, what


@pytest.mark.parametrize(
    "case, name",
    [
        (ONE_FILE, "config.json"),
        (SHARDS, "config.json"),
        (SHARDS, "model.safetensors.index.json"),
    ],
    ids=["config", "config-back", "index"],
)
def test_a_bit_of_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: Case, name: str
) -> None:
    assert convert(capsys, case, tmp_path) == (0, "", "")
    shutil.move(tmp_path / "target", tmp_path / "clean")
    content = (tmp_path / "clean" / name).read_bytes()
    before = everything_below(tmp_path)
    for bit, at in enumerate((0, len(content) // 2, len(content) - 1)):
        with pytest.MonkeyPatch.context() as context:
            assert not flip_behind(context, name, at, bit)
            found = convert(capsys, case, tmp_path, "--verify")
        path = tmp_path / ".target.mapc-partial" / name
        assert found == (1, "", differs(path, at, bit, content))
        assert everything_below(tmp_path) == before


def test_a_bit_of_a_copied_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hf_source(tmp_path / "source")
    large = bytes(range(256)) * 8000  # several chunks
    (tmp_path / "source/vocab.bin").write_bytes(large)
    at, copyfile = len(large) - 1, shutil.copyfile

    def copied(source: str, target: str) -> None:
        copyfile(source, target)
        if target.endswith("/vocab.bin"):
            flip(target, at, 3)

    before = everything_below(tmp_path)
    monkeypatch.setattr(shutil, "copyfile", copied)
    found = convert(capsys, ONE_FILE, tmp_path, "--verify")
    path = tmp_path / ".target.mapc-partial/vocab.bin"
    assert found == (1, "", differs(path, at, 3, large))
    assert everything_below(tmp_path) == before


@pytest.mark.parametrize("more, less", [(b"\0", 0), (b"", 1)], ids=["longer", "cut"])
@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "mp_rank_00_000/model.safetensors"]
)
def test_another_length(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    more: bytes,
    less: int,
) -> None:
    assert convert(capsys, ONE_FILE, tmp_path) == (0, "", "")
    shutil.move(tmp_path / "target", tmp_path / "clean")
    content = (tmp_path / "clean" / name).read_bytes()
    path = tmp_path / ".target.mapc-partial" / name
    at = len(content) - less
    byte, end = f"{content[-1]:02x}", "the end of the file"
    one, other = (end, more.hex()) if more else (byte, end)
    said = f"byte {at}: expected {one}, found {other}; the file differs from what was written to it, "
    said += "the storage is not reliable"
    if path.suffix == ".safetensors" and more:
        size = len(content) - 8 - int.from_bytes(content[:8], "little")
        said = f"expected {size} bytes of tensors, found {size + 1}; nothing says what the rest is"
    elif path.suffix == ".safetensors":
        last = content[-2:].hex(" ")
        said = (
            f"final_norm.weight: element [4]: expected the bytes {last}, found {last[:2]}; "
            "the file differs from what was written to it, the storage is not reliable"
        )

    def changing(write: Any) -> Any:
        def written(*arguments: Any) -> None:
            write(*arguments)
            if path.exists() and len(path.read_bytes()) == len(content):
                path.write_bytes(path.read_bytes()[: len(content) - less] + more)

        return written

    monkeypatch.setattr(shutil, "copyfile", changing(shutil.copyfile))
    for writer in ("write_part", "write_document"):
        function = getattr(load_toy(), writer)
        monkeypatch.setattr(load_toy(), writer, changing(function))
    before = everything_below(tmp_path)
    found = convert(capsys, ONE_FILE, tmp_path, "--verify")
    assert found == (1, "", f"error: {path}: {said}\n")
    assert everything_below(tmp_path) == before


def test_a_header_that_says_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers are read as any other reader does, so a mistake of their writer would be seen, too."""
    toy = load_toy()
    make = toy.make_header

    def mistaken(*arguments: Any) -> Any:
        return make(*arguments).replace(b"decoder.1.norm", b"decoder.1.form")

    monkeypatch.setattr(toy, "make_header", mistaken)
    code, out, err = convert(capsys, ONE_FILE, tmp_path, "--verify")
    path = tmp_path / ".target.mapc-partial/mp_rank_00_000/model.safetensors"
    begin = 4096 + 2 * (PADDED * E + E + G * (H + 2) * D * E + 2 * E * F)
    meant = ("BF16", (E,), str(path), begin, 2 * E, None)
    said = f"error: {path}: decoder.1.norm.weight: expected {meant}, found None\n"
    assert (code, out, err) == (1, "", said)
    assert os.listdir(tmp_path) == ["source"]


# ---- every bit


def flip_all(path: str, begin: int, end: int, step: int, check: Any) -> None:
    """Flip each bit in turn, or each so many, see that it is refused, and put it back."""
    toy = load_toy()
    for number in range(8 * begin, 8 * end, step):
        at, bit = divmod(number, 8)
        flip(path, at, bit)
        with pytest.raises(toy.ConversionError):
            check()
        flip(path, at, bit)
    check()


@pytest.mark.parametrize(
    "step", [211, pytest.param(1, marks=pytest.mark.long)], ids=["some", "all"]
)
@pytest.mark.parametrize(
    "case", [ONE_FILE, SIBLINGS, SHARDS], ids=["one-file", "siblings", "shards"]
)
def test_no_bit_passes(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    case: Case,
    step: int,
) -> None:
    """Within one conversion: what is verified is verified once for each of its bits."""
    toy, verified = load_toy(), list[int]()
    header, part = toy.verify_header, toy.verify_part
    document, copy = toy.verify_document, toy.verify_copy

    def each(path: str, begin: int, end: int, check: Any) -> None:
        flip_all(path, begin, end, step, check)
        verified.append(end - begin)

    def headers(file: Any, path: str, look: Any) -> None:
        size = len(file.header)
        each(path, 0, size, lambda: header(file, path, look))

    def parts(a: Any, file: Any, begin: int, end: int, path: str, count: Any) -> None:
        def check() -> None:
            part(a, file, begin, end, path, lambda done: None)

        each(path, begin, end, check)
        count(end - begin)

    def documents(path: str, text: bytes) -> None:
        each(path, 0, len(text), lambda: document(path, text))

    def copies(source: str, path: str) -> None:
        each(path, 0, os.path.getsize(path), lambda: copy(source, path))

    monkeypatch.setattr(toy, "PART", 4 << 10)  # bytes
    monkeypatch.setattr(toy, "verify_header", headers)
    monkeypatch.setattr(toy, "verify_part", parts)
    monkeypatch.setattr(toy, "verify_document", documents)
    monkeypatch.setattr(toy, "verify_copy", copies)
    assert convert(capsys, case, tmp_path, "--verify") == (0, "", "")
    files = [path for path in (tmp_path / "target").rglob("*") if path.is_file()]
    assert sum(verified) == sum(path.stat().st_size for path in files)
    if case is SHARDS:
        found = {n: t for path in files for n, t in tensors_of(path).items()}
        assert found == hf_tensors()


def tensors_of(path: Path) -> dict[str, Any]:
    return dict(read(path)) if path.suffix == ".safetensors" else {}
