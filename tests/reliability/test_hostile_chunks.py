"""Chunks of torch.distributed that are not what their metadata say: refused with one line, nothing is run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint import metadata

from ..runtime.chunks import chunks, halves, stacked, write_chunks, write_whole
from .pickles import Code

pytestmark = pytest.mark.filterwarnings("ignore")  # torch says that it runs alone
NORM = "decoder.layers.norm.weight"
AT = metadata.MetadataIndex(NORM, torch.Size((2, 0)))


def said(
    change: Callable[[metadata.Metadata], object],
) -> Callable[[Path, metadata.Metadata], object]:
    """Metadata that say something else."""

    def broken(path: Path, found: metadata.Metadata) -> None:
        change(found)
        (path / ".metadata").write_bytes(pickle.dumps(found))

    return broken


def chunk(
    number: int, offsets: tuple[int, ...], sizes: tuple[int, ...]
) -> Callable[[Path, metadata.Metadata], object]:
    """Another box for a chunk of the norms, at the same bytes."""

    def change(found: metadata.Metadata) -> None:
        entry = found.state_dict_metadata[NORM]
        old = metadata.MetadataIndex(NORM, entry.chunks[number].offsets)
        made = metadata.ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
        entry.chunks[number] = made
        place = found.storage_data.pop(old)
        found.storage_data[metadata.MetadataIndex(NORM, torch.Size(offsets))] = place

    return said(change)


def place(**changes: Any) -> Callable[[Path, metadata.Metadata], object]:
    """Another place for a chunk of the norms."""
    return said(lambda found: vars(found.storage_data[AT]).update(changes))


SAID = "SOURCE/.metadata"
NO_METADATA = f"{SAID}: expected the metadata of a torch.distributed checkpoint"
REFUSED: list[tuple[str, Callable[[Path, metadata.Metadata], object], str]] = [
    (
        "code in the metadata",
        said(
            lambda found: setattr(found, "planner_data", Code(os.system, "touch evil"))
        ),
        f"{NO_METADATA}, found posix.system in it, which is not run",
    ),
    (
        "code for the metadata",
        lambda path, _: (path / ".metadata").write_bytes(
            pickle.dumps(Code(os.system, "touch evil"))
        ),
        f"{NO_METADATA}, found posix.system in it, which is not run",
    ),
    (
        "metadata of something else",
        lambda path, _: (path / ".metadata").write_bytes(pickle.dumps({"a": 1})),
        f"{NO_METADATA}, found a pickle of something else",
    ),
    (
        "metadata that are cut off",
        lambda path, _: os.truncate(path / ".metadata", 900),
        f"{NO_METADATA}, found a pickle that is cut off or broken",
    ),
    (
        "no metadata",
        lambda path, _: (path / ".metadata").unlink(),
        f"{NO_METADATA}, found none",
    ),
    (
        "another backend",
        lambda path, _: (path / "metadata.json").write_text(
            '{"sharded_backend": "zarr"}'
        ),
        "SOURCE/metadata.json: sharded_backend: expected torch_dist, found 'zarr'",
    ),
    (
        "a file that is missing",
        lambda path, _: (path / "__1_0.distcp").unlink(),
        "SOURCE/__1_0.distcp: expected a file, found none",
    ),
    (
        "a file that is cut off",
        lambda path, _: os.truncate(path / "__1_0.distcp", 500),
        f"SOURCE/__1_0.distcp: {NORM}: expected a chunk of LENGTH bytes from byte 0 on, found a file of 500",
    ),
    (
        "a hole",
        said(lambda found: found.state_dict_metadata[NORM].chunks.pop()),
        f"{SAID}: {NORM}: expected chunks that hold each of 21 elements once, found 1 that leave a hole",
    ),
    (
        "chunks that overlap",
        chunk(1, (1, 0), (2, 7)),
        f"{SAID}: {NORM}: expected chunks that hold each of 21 elements once, found 2 that overlap",
    ),
    (
        "chunks that overlap and leave a hole",
        chunk(1, (1, 0), (1, 7)),
        f"{SAID}: {NORM}: expected chunks that hold each of 21 elements once, found 2 that overlap",
    ),
    (
        "a chunk outside of its tensor",
        chunk(1, (3, 0), (1, 7)),
        f"{SAID}: {NORM}: expected chunks of [3, 7], found one of [1, 7] at [3, 0]",
    ),
    (
        "a chunk of other axes",
        chunk(1, (2,), (1,)),
        f"{SAID}: {NORM}: expected chunks of [3, 7], found one of [1] at [2]",
    ),
    (
        "a chunk that is stored nowhere",
        said(lambda found: found.storage_data.pop(AT)),
        f"{SAID}: {NORM}: expected to be told where the chunk at [2, 0] is stored, found nothing",
    ),
    (
        "the bytes of another chunk",
        said(
            lambda found: vars(found.storage_data[AT]).update(
                vars(
                    found.storage_data[metadata.MetadataIndex(NORM, torch.Size((0, 0)))]
                )
            )
        ),
        f"SOURCE/__0_0.distcp: {NORM}: expected I32 [1, 7] from byte BEGIN on, found I32 [2, 7]",
    ),
    (
        "bytes in the middle of a chunk",
        place(offset=64),
        f"SOURCE/__1_0.distcp: {NORM}: expected a chunk of LENGTH bytes from byte 64 on, found a file of LENGTH",
    ),
    (
        "a place that begins nowhere",
        place(offset=64, length=700),
        "SOURCE/__1_0.distcp: expected a zip file of plain tensors, as torch.save writes it, found a file that begins with BYTES",
    ),
    (
        "a place below 0",
        place(offset=-1),
        f"{NO_METADATA}, found a pickle of something else",
    ),
    (
        "a path",
        place(relative_path="../dist/__1_0.distcp"),
        f"{SAID}: {NORM}: expected the name of a file beside it, found '../dist/__1_0.distcp'",
    ),
    (
        "bytes that are transformed",
        place(transform_descriptors=["zstd"]),
        f"{SAID}: {NORM}: expected bytes as they are, found them transformed; save without extensions",
    ),
    (
        "another dtype",
        said(
            lambda found: setattr(
                found.state_dict_metadata[NORM].properties, "dtype", torch.float32
            )
        ),
        f"SOURCE/__0_0.distcp: {NORM}: expected F32 [2, 7] from byte BEGIN on, found I32 [2, 7]",
    ),
    (
        "a dtype that is none",
        said(
            lambda found: setattr(
                found.state_dict_metadata[NORM].properties, "dtype", torch.complex128
            )
        ),
        f"{SAID}: {NORM} [i e]: expected a tensor, found something else, which is not read (chunks.map:21)",
    ),
    (
        "a list for a chunk",
        lambda path, found: rewritten(path, found, [1, 2]),
        f"SOURCE/__1_0.distcp: {NORM}: expected a tensor from byte 0 on, found list",
    ),
    (
        "code for a chunk",
        lambda path, found: rewritten(path, found, Code(os.system, "touch evil")),
        f"SOURCE/__1_0.distcp: {NORM}: expected a tensor from byte 0 on, found posix.system",
    ),
]


def rewritten(path: Path, found: metadata.Metadata, value: Any) -> None:
    """Something else for a chunk of the norms."""
    torch.save(value, path / "__1_0.distcp")
    found.storage_data[AT].length = (path / "__1_0.distcp").stat().st_size
    (path / ".metadata").write_bytes(pickle.dumps(found))


@pytest.mark.parametrize(
    ("broken", "message"),
    [kind[1:] for kind in REFUSED],
    ids=[kind[0] for kind in REFUSED],
)
def test_it_is_refused(
    broken: Callable[[Path, metadata.Metadata], object],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_whole(tmp_path / "hf")
    source = tmp_path / "dist"
    found = write_chunks(source, stacked(tmp_path / "hf"), halves)
    first = found.storage_data[metadata.MetadataIndex(NORM, torch.Size((0, 0)))]
    length, begin = found.storage_data[AT].length, first.offset
    start = (source / "__1_0.distcp").read_bytes()[64:72]
    broken(source, found)
    message = (
        message.replace("LENGTH", f"{length}")
        .replace("BEGIN", f"{begin}")
        .replace("BYTES", f"{start!r}")
    )
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(chunks().ConversionError) as error:
        chunks().convert_checkpoint(source, tmp_path / "never", to="hf")
    assert str(error.value).replace(str(source), "SOURCE") == message
    assert sorted(os.listdir(tmp_path)) == before


def test_a_chunk_that_changes_is_refused(tmp_path: Path) -> None:
    write_whole(tmp_path / "hf")
    write_chunks(tmp_path / "dist", stacked(tmp_path / "hf"), halves)
    file = tmp_path / "dist/__1_0.distcp"

    def change(what: str) -> None:
        if what == "writing":
            os.utime(file, (1, 1))

    with pytest.raises(chunks().ConversionError) as error:
        chunks().convert_checkpoint(
            tmp_path / "dist", tmp_path / "never", to="hf", announce=change
        )
    assert "the file was changed while it was read" in str(error.value)
    assert not (tmp_path / "never").exists()
