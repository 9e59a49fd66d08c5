"""Kinds of hostile checkpoints: configs that are none, and ranks that do not belong together."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ..runtime.files import Stored, coded, read, write
from ..runtime.toy_checkpoint import E, hf_tensors, mcore_tensors, rank_file
from .breaking import (
    CONFIG,
    Break,
    Kind,
    config,
    content,
    deep,
    gone,
    holding,
    instead,
    only,
    shown,
    stored,
    tensors,
)

CONFIGS = [
    Kind(
        "an empty config",
        holding(CONFIG, b""),
        "SOURCE/config.json: expected JSON, found a mistake: Expecting value: line 1 column 1 (char 0)",
    ),
    Kind(
        "a config that is no JSON",
        holding(CONFIG, b"hidden_size: 5"),
        "SOURCE/config.json: expected JSON, found a mistake: Expecting value: line 1 column 1 (char 0)",
    ),
    Kind(
        "a list for a config",
        holding(CONFIG, b"[]"),
        "SOURCE/config.json: expected a JSON object, found a list at the top",
    ),
    Kind(
        "a config with a mark of its byte order",
        content(CONFIG, lambda data: b"\xef\xbb\xbf" + data),
        "SOURCE/config.json: expected JSON, found a mistake: Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)",
    ),
    Kind(
        "a config that is no UTF-8",
        content(CONFIG, lambda data: data.replace(b"hf_e", b"hf_\xff")),
        "SOURCE/config.json: expected JSON, found a mistake: 'utf-8' codec can't decode byte 0xff in position 21: invalid start byte",
    ),
    Kind(
        "NaN in a config",
        config(eps=float("nan")),
        "SOURCE/config.json: expected JSON, found a mistake: NaN is no JSON number",
    ),
    Kind(
        "an infinity in a config",
        content(CONFIG, lambda data: data.replace(b"{", b'{"eps": 1e999, ', 1)),
        "SOURCE/config.json: expected JSON, found a mistake: 1e999 is more than a number can be",
    ),
    Kind(
        "a key twice in a config",
        content(CONFIG, lambda data: data.replace(b"{", b'{"hf_e": 6, ', 1)),
        "SOURCE/config.json: expected JSON, found a mistake: `hf_e` stands there twice",
    ),
    Kind(
        "a deep config",
        content(
            CONFIG, lambda data: data.replace(b"{", f'{{"x": {deep(400)}, '.encode(), 1)
        ),
        "SOURCE/config.json: expected JSON, found it nested too deeply",
    ),
    Kind(
        "a config of brackets",
        holding(CONFIG, b'{"a":' * 50_000),
        "SOURCE/config.json: expected JSON, found it nested too deeply",
    ),
    Kind(
        "a number of 5000 digits in a config",
        content(
            CONFIG, lambda data: data.replace(b'"hf_e": 5', b'"hf_e": ' + b"9" * 5000)
        ),
        "SOURCE/config.json: expected JSON, found a mistake: a number of 5000 digits",
    ),
    Kind(
        "a config without a size",
        config(hf_e=...),
        "SOURCE/config.json: hf config: expected hf_e (e), found none",
    ),
    Kind(
        "null for a size",
        config(hf_f=None),
        "SOURCE/config.json: hf config: expected hf_f (f), found none",
    ),
    Kind(
        "a negative size",
        config(hf_e=-5),
        "SOURCE/config.json: hf config: hf_e: expected a size, 0 or more, found -5",
    ),
    Kind(
        "a size beyond 63 bits",
        config(hf_e=2**63),
        "SOURCE/config.json: hf config: hf_e: expected a size below 2**63, found 9223372036854775808",
    ),
    Kind(
        "a size of 900 digits",
        config(hf_h=10**900),
        "SOURCE/config.json: hf config: hf_h: expected a size below 2**63, found one of 2990 bits",
    ),
    Kind(
        "a list for a number",
        config(hf_e=[5]),
        "SOURCE/config.json: hf config: hf_e: expected int, found [5]",
    ),
    Kind(
        "a text for a number",
        config(hf_e="5"),
        "SOURCE/config.json: hf config: hf_e: expected int, found '5'",
    ),
    Kind(
        "a real number for a size",
        config(hf_e=5.0),
        "SOURCE/config.json: hf config: hf_e: expected int, found 5.0",
    ),
    Kind(
        "true for a number",
        config(hf_g=True),
        "SOURCE/config.json: hf config: hf_g: expected int, found True",
    ),
    Kind(
        "an object for a number",
        config(hf_e={"e": 5}),
        "SOURCE/config.json: hf config: hf_e: expected int, found {'e': 5}",
    ),
    Kind(
        "a number for true",
        config(tied=1),
        "SOURCE/config.json: hf config: tied: expected bool, found 1",
    ),
    Kind(
        "a list of megabytes for a number",
        config(hf_e=[0] * 500_000),
        "SOURCE/config.json: "
        + shown(f"hf config: hf_e: expected int, found {[0] * 500_000}"),
    ),
    Kind(
        "no layers",
        config(hf_layers=0),
        "SOURCE/model.safetensors: layers.0.norm.weight: no statement of toy reads it (and 23 more tensors); a `drop` in the map leaves a tensor behind",
    ),
    Kind(
        "a layer too many",
        config(hf_layers=5),
        "SOURCE/model.safetensors: layers.4.norm.weight: missing; toy.map:29 reads it as [e], expected [5] (e=5); the nearest name is layers.3.norm.weight",
    ),
    Kind(
        "a million layers",
        config(hf_layers=1_000_000),
        "pp=1: layers and stages: expected at most 65536, found 1000000",
    ),
    Kind(
        "layers beyond all memory",
        config(hf_layers=2**62),
        "pp=1: layers and stages: expected at most 65536, found 4611686018427387904",
    ),
    Kind(
        "another size than the tensors have",
        config(hf_f=13),
        "SOURCE/model.safetensors: layers.0.down.weight [e f]: expected [5, 13] (e=5 f=13), found [5, 14] (toy.map:33)",
    ),
    Kind(
        "a size beyond all memory",
        config(hf_e=2**62),
        "SOURCE/model.safetensors: embed.weight [v e]: expected [29, 4611686018427387904] (v=29 e=4611686018427387904 vp=29), found [29, 5] (toy.map:26)",
    ),
    Kind(
        "no vocabulary",
        config(hf_v=0),
        "SOURCE/model.safetensors: embed.weight [v e]: expected [0, 5] (v=0 e=5 vp=0), found [29, 5] (toy.map:26)",
    ),
    Kind(
        "a number for what is kept",
        config(mapc=5),
        "SOURCE/config.json: hf config: mapc: expected an object, found 5",
    ),
    Kind(
        "a list for what is kept of a layout",
        config(mapc={"mcore": [1]}),
        "SOURCE/config.json: hf config: mapc.mcore: expected an object, found [1]",
    ),
]
TP1 = rank_file(1, 0)


def mesh(found: Any) -> Break:
    """A config that says another mesh."""
    return config(mapc={"mesh": found})


def swapped(one: str, other: str) -> Break:
    """Two files under each other's names."""

    def broken(path: Path) -> None:
        (path / one).rename(path / "kept")
        (path / other).rename(path / one)
        (path / "kept").rename(path / other)

    return broken


def of_mesh(tp: int, pp: int) -> Break:
    """The file of a rank as another mesh has it."""
    found = mcore_tensors(hf_tensors(), tp, pp, tp - 1, 0)
    return lambda path: write(path / TP1, found)


def other_dtypes(path: Path) -> None:
    """The file of a rank in another dtype."""
    write(path / TP1, mcore_tensors(hf_tensors("F16"), 2, 2, 1, 0))


def moved_folder(path: Path) -> None:
    """The folder of a rank somewhere else, and a link to it."""
    away = path.parent / "elsewhere"
    (path / TP1).parent.rename(away)
    (path / TP1).parent.symlink_to(away)


def other_head(path: Path) -> None:
    """The embedding of the last stage is another one than that of the first."""
    name = "output.weight"
    file = rank_file(0, 1)
    data = bytearray(read(path / file)[name].data)
    data[7] ^= 1
    stored(name, Stored("BF16", (16, E), bytes(data)), file)(path)


RANKS = [
    Kind(
        "a rank that is missing",
        gone(TP1),
        "SOURCE/mp_rank_01_000/model.safetensors: expected for rank tp=1 pp=0 of tp=2 pp=2, found none; fetch it, or say which mesh it is",
        "mcore",
    ),
    Kind(
        "a rank too many",
        lambda path: shutil.copytree(path / "mp_rank_01_000", path / "mp_rank_02_000"),
        "SOURCE/mp_rank_02_000/model.safetensors: expected the 4 files of tp=2 pp=2, found this one too; say which mesh it is, or remove the file",
        "mcore",
    ),
    Kind(
        "a rank in two files",
        lambda path: shutil.copy(path / TP1, path / "mp_rank_01_000/model.pt"),
        "SOURCE/mp_rank_01_000/model.pt: expected the 4 files of tp=2 pp=2, found this one too; say which mesh it is, or remove the file",
        "mcore",
    ),
    Kind(
        "a FIFO for a rank",
        instead(TP1, os.mkfifo),
        "SOURCE/mp_rank_01_000/model.safetensors: expected for rank tp=1 pp=0 of tp=2 pp=2, found a FIFO; fetch it, or say which mesh it is",
        "mcore",
    ),
    Kind(
        "a rank that is a link out of the directory",
        moved_folder,
        "SOURCE/mp_rank_01_000/model.safetensors: expected a file in this directory, found a link to OUTSIDE/elsewhere/model.safetensors; --follow-links reads what is there",
        "mcore",
    ),
    Kind(
        "a rank that is cut off",
        content(TP1, lambda data: data[:-100]),
        "SOURCE/mp_rank_01_000/model.safetensors: expected 1200 bytes of tensors, found 1100; it was cut off, fetch it again",
        "mcore",
    ),
    Kind(
        "a rank without tensors",
        only("{}", name=TP1),
        "SOURCE/mp_rank_01_000/model.safetensors: decoder.0.norm.weight (rank tp=1 pp=0): missing; toy.map:29 reads it as [e], expected [5] (e=5); the nearest name is decoder.1.norm.weight",
        "mcore",
    ),
    Kind(
        "a rank of another mesh",
        of_mesh(1, 2),
        "SOURCE/mp_rank_01_000/model.safetensors: embedding.weight (rank tp=1 pp=0) [v^vp@tp e]: expected [16, 5] (v=29 e=5 vp=32), found [32, 5] (toy.map:26)",
        "mcore",
    ),
    Kind(
        "a rank of other stages",
        of_mesh(2, 1),
        "SOURCE/mp_rank_01_000/model.safetensors: decoder.2.norm.weight (rank tp=1 pp=0): no statement of toy reads it (and 8 more tensors); the nearest name is decoder.1.norm.weight (toy.map:29); a `drop` in the map leaves a tensor behind",
        "mcore",
    ),
    Kind(
        "a rank of another config",
        stored("decoder.1.fc2.weight", coded(5, "BF16", E, 8), TP1),
        "SOURCE/mp_rank_01_000/model.safetensors: decoder.1.fc2.weight (rank tp=1 pp=0) [e f@tp]: expected [5, 7] (e=5 f=14), found [5, 8] (toy.map:33)",
        "mcore",
    ),
    Kind(
        "a rank of another dtype",
        other_dtypes,
        "SOURCE/mp_rank_01_000/model.safetensors: embedding.weight (rank tp=1 pp=0): expected BF16 as embedding.weight (rank tp=0 pp=0) has, found F16 (toy.map:26)",
        "mcore",
    ),
    Kind(
        "a rank with a tensor too many",
        tensors(lambda found: found.update(step=coded(1, "I32", 1)), TP1),
        "SOURCE/mp_rank_01_000/model.safetensors: step (rank tp=1 pp=0): no statement of toy reads it; a `drop` in the map leaves a tensor behind",
        "mcore",
    ),
    Kind(
        "a rank with a tensor too few",
        tensors(lambda found: found.pop("decoder.1.norm.weight"), TP1),
        "SOURCE/mp_rank_01_000/model.safetensors: decoder.1.norm.weight (rank tp=1 pp=0): missing; toy.map:29 reads it as [e], expected [5] (e=5); the nearest name is decoder.0.norm.weight",
        "mcore",
    ),
    Kind(
        "two stages that are swapped",
        swapped(rank_file(0, 0), rank_file(0, 1)),
        "SOURCE/mp_rank_00_000/model.safetensors: embedding.weight (rank tp=0 pp=0): missing; toy.map:26 reads it as [v^vp@tp e], expected [16, 5] (v=29 e=5 vp=32)",
        "mcore",
    ),
    Kind(
        "stages that do not hold one embedding",
        other_head,
        "SOURCE/mp_rank_00_000/model.safetensors: embedding.weight (rank tp=0 pp=0) and SOURCE/mp_rank_00_001/model.safetensors: output.weight (rank tp=0 pp=1) are one tensor in this map: element [0, 3]: expected the bytes 04 00, found 04 01",
        "mcore",
    ),
    Kind(
        "a mesh of none",
        mesh({"tp": 0, "pp": 2}),
        "SOURCE/config.json: mapc.mesh: expected sizes, 1 or more, of tp, pp, found {'tp': 0, 'pp': 2}",
        "mcore",
    ),
    Kind(
        "a mesh of many",
        mesh({"tp": 10**9, "pp": 2}),
        "SOURCE/config.json: mapc.mesh: tp=1000000000 pp=2: expected at most 65536 ranks, found 2000000000",
        "mcore",
    ),
    Kind(
        "a mesh beyond 63 bits",
        mesh({"tp": 2**64, "pp": 2}),
        "SOURCE/config.json: mapc.mesh: expected sizes, 1 or more, of tp, pp, found {'tp': 18446744073709551616, 'pp': 2}",
        "mcore",
    ),
    Kind(
        "a mesh of more than there are",
        mesh({"tp": 4, "pp": 2}),
        "SOURCE/mp_rank_02_000/model.safetensors: expected for rank tp=2 pp=0 of tp=4 pp=2, found none; fetch it, or say which mesh it is",
        "mcore",
    ),
    Kind(
        "a mesh of fewer than there are",
        mesh({"tp": 1, "pp": 2}),
        "SOURCE/mp_rank_01_000/model.safetensors: expected the 2 files of tp=1 pp=2, found this one too; say which mesh it is, or remove the file",
        "mcore",
    ),
    Kind(
        "a mesh of dimensions that do not exist",
        mesh({"ep": 2}),
        "SOURCE/config.json: mapc.mesh: expected sizes, 1 or more, of tp, pp, found {'ep': 2}",
        "mcore",
    ),
    Kind(
        "a list for a mesh",
        mesh([2, 2]),
        "SOURCE/config.json: mapc.mesh: expected sizes, 1 or more, of tp, pp, found [2, 2]",
        "mcore",
    ),
    Kind(
        "another mesh than is asked for",
        lambda path: None,
        "SOURCE/config.json: expected tp=4 pp=1 as asked for, found tp=2 pp=2",
        "mcore",
        ("--tp", "4"),
    ),
    Kind(
        "stages for layers that do not divide",
        config(mcore_layers=3),
        "pp=2: 3 layers do not divide over 2 stages; choose another pp or uneven stages",
        "mcore",
    ),
    Kind(
        "a million layers on ranks",
        config(mcore_layers=1_000_000),
        "pp=2: layers and stages: expected at most 65536, found 1000000",
        "mcore",
    ),
]
KINDS = [*CONFIGS, *RANKS]
