"""Checkpoints that lie: refused with one line that says where, and nothing is written, run or even begun."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ..runtime.files import Stored, files_of, read, with_header, write
from ..runtime.toy import load_toy
from ..runtime.toy_checkpoint import hf_tensors, to_mcore, write_hf, write_mcore
from . import (
    hostile_configs,
    hostile_folders,
    hostile_headers,
    hostile_pickles,
    hostile_tensors,
    hostile_torch,
)
from .breaking import (
    CONFIG,
    MODEL,
    Break,
    Kind,
    every,
    header,
    linked,
    moved_out,
    shown,
)
from .commands import run_apart, state_of
from .hostile_folders import SHARDS, sharded
from .hostile_torch import BIN
from .pickles import write_torch

TABLES = (
    hostile_headers,
    hostile_tensors,
    hostile_folders,
    hostile_configs,
    hostile_torch,
    hostile_pickles,
)
KINDS: list[Kind] = [kind for table in TABLES for kind in table.KINDS]


def write_bin(path: Path) -> None:
    """A checkpoint that torch.save wrote."""
    write_hf(path)
    (path / MODEL).unlink()
    write_torch(path / BIN, hf_tensors())


# What a kind is made of, and the command that converts it.
BASES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "hf": ("to-mcore", write_hf),
    "mcore": ("to-hf", lambda path: write_mcore(path, hf_tensors(), 2, 2)),
    "bin": ("to-mcore", write_bin),
}


def test_no_kind_is_there_twice() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 60


@pytest.mark.parametrize("base", BASES)
def test_before_they_are_broken_they_are_good(base: str, tmp_path: Path) -> None:
    command, write_good = BASES[base]
    write_good(tmp_path / "source")
    target = tmp_path / "target"
    outcome = run_apart(load_toy().main, command, tmp_path / "source", target)
    assert (outcome.code, outcome.err) == (0, "")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_it_is_refused(kind: Kind, tmp_path: Path) -> None:
    """Nothing is written, not for a moment: the time at which the directory around the target was changed stays."""
    source, target = tmp_path / "below" / "source", tmp_path / "target"
    command, write_good = BASES[kind.base]
    write_good(source)
    kind.broken(source)
    before = state_of(tmp_path)
    outcome = run_apart(load_toy().main, command, source, target, *kind.arguments)
    said = kind.message.replace("SOURCE", str(source))
    said = said.replace("OUTSIDE", str(source.parent))
    expected = (1, "", f"error: {shown(said)}\n")
    assert (outcome.code, outcome.out, outcome.err) == expected
    assert state_of(tmp_path) == before


# ---- what looks odd, and is read


def in_order(*names: str) -> Break:
    """The data of tensors in another order than that of the header: those that are named come first."""

    def broken(path: Path) -> None:
        found = read(path / MODEL)
        write(path / MODEL, {**{name: found[name] for name in names}, **found})

    return broken


def odd_length(path: Path) -> None:
    """A header that ends anywhere: no tensor is aligned to its elements."""
    data = (path / MODEL).read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    text = data[8:end] + b" " * (1 if end % 2 == 0 else 2)
    (path / MODEL).write_bytes(with_header(text, data[end:]))


def left_behind(tensor: Stored) -> Break:
    """A tensor that the map leaves behind; those that follow begin one byte later, or at an odd one."""

    def broken(path: Path) -> None:
        first = {"layers.0.rotary.inv_freq": tensor}
        write(path / MODEL, {**first, **read(path / MODEL)})

    return broken


def in_a_cache(path: Path) -> None:
    """As a cache of Hugging Face has it: the directory holds links to blobs, and is below `snapshots`."""
    place = path.parent / "snapshots" / "main"
    place.parent.mkdir()
    path.rename(place)
    for name, blob in ((CONFIG, "0a"), (MODEL, "1b")):
        moved_out(name, f"../../blobs/{blob}")(place)
    path.symlink_to(place)


READ: dict[str, Break] = {
    "data in another order": in_order("final.weight", "layers.2.k.weight"),
    "a header of odd length": odd_length,
    "data that are not aligned": left_behind(Stored("U8", (3,), b"odd")),
    "a tensor of no elements": left_behind(Stored("F32", (0, 7), b"")),
    "a tensor of no axes": left_behind(Stored("F64", (), b"eight by")),
    "a header with line ends": header(
        lambda found: json.dumps(found, indent=2).encode()
    ),
    "a header with escapes": header(
        lambda found: json.dumps(found).replace("embed", "\\u0065mbed").encode()
    ),
    "metadata of others": header(
        lambda found: found.update(__metadata__={"x": "\u202e"})
    ),
    "shards": sharded,
    "a shard that is a link in the directory": every(
        sharded, moved_out(SHARDS[0], "files/0")
    ),
    "a cache of downloads": in_a_cache,
    "other files": every(
        linked("notes", "/etc/passwd"),
        lambda path: (path / "a\nb\udcff\u202e.txt").write_bytes(b""),
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_odd_and_right_is_read(name: str, tmp_path: Path) -> None:
    source = write_hf(tmp_path / "source")
    to_mcore(source, tmp_path / "expected", vocab_multiple=1)
    READ[name](source)
    before = state_of(source)
    target = tmp_path / "target"
    outcome = run_apart(load_toy().main, "to-mcore", source, target, "--verify")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.isascii()
    assert state_of(source) == before
    assert files_of(target) == files_of(tmp_path / "expected")
