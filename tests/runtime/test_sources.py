"""Reading stored tensors: few open files, and files that change meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapc.templates.runtime import sources
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.safetensors_io import read_header
from mapc.templates.runtime.source_files import check_unchanged, identity_of
from mapc.templates.runtime.sources import SourceReader
from mapc.templates.runtime.stream import preallocate

from .files import coded, files_of, write
from .toy import load_toy
from .toy_checkpoint import hf_tensors, to_hf, to_mcore, write_mcore


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_few_files_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "OPEN_FILES", 3)
    stored = [coded(number, "I32", 50) for number in range(20)]
    paths = [
        write(tmp_path / f"{n}.safetensors", {"a": one}) for n, one in enumerate(stored)
    ]
    tensors = [read_header(str(path))["a"] for path in paths]
    before, most = open_descriptors(), 0
    reader = SourceReader()
    for number in [*range(20), *range(0, 20, 3), 19, 19]:
        view = memoryview(bytearray(200))
        reader.read(tensors[number], 0, view)
        whole = reader.memory(tensors[number], 0, 200)
        assert bytes(view) == bytes(whole) == stored[number].data
        whole.release()
        most = max(most, open_descriptors() - before)
    assert most <= 6
    reader.close()
    assert open_descriptors() == before


@given(
    wanted=st.lists(st.tuples(st.integers(0, 60_000), st.integers(1, 9_000))),
    mapped=st.sampled_from([1, 4096, 20_000, 1 << 26]),
)
def test_whatever_stays_mapped(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[tuple[int, int]], mapped: int
) -> None:
    folder = tmp_path_factory.mktemp("mapped")
    stored = coded(3, "BF16", 35_000)
    tensor = read_header(str(write(folder / "a.safetensors", {"a": stored})))["a"]
    reader = SourceReader()
    with pytest.MonkeyPatch.context() as context:
        context.setattr(sources, "MAPPED", mapped)
        for begin, size in wanted:
            found = reader.memory(tensor, begin, begin + size)
            assert bytes(found) == stored.data[begin : begin + size]
    reader.close()


def test_more_files_than_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_mcore(tmp_path / "mcore", hf_tensors(), 2, 4)
    to_hf(source, tmp_path / "many")
    monkeypatch.setattr(load_toy(), "OPEN_FILES", 1)
    to_hf(source, tmp_path / "one")
    assert files_of(tmp_path / "one") == files_of(tmp_path / "many")
    to_mcore(tmp_path / "one", tmp_path / "back", 2, 4)
    assert files_of(tmp_path / "back").keys() == files_of(source).keys()


def test_a_file_that_is_cut_off_meanwhile(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"a": coded(1, "I32", 50)})
    tensor = read_header(str(path))["a"]
    reader = SourceReader()
    view = memoryview(bytearray(100))
    reader.read(tensor, 20, view)
    os.truncate(path, tensor.begin + 120)
    reader.read(tensor, 20, view)
    with pytest.raises(ConversionError) as error:
        reader.read(tensor, 30, view)
    assert str(error.value) == (
        f"{path}: expected {tensor.begin + 130} bytes or more, found {tensor.begin + 120}; "
        "the file was changed while it was read"
    )


def test_a_mapped_file_that_is_cut_off_meanwhile(tmp_path: Path) -> None:
    """Touching what was mapped behind the end would kill the process."""
    path = write(tmp_path / "model.safetensors", {"a": coded(1, "I32", 5000)})
    tensor = read_header(str(path))["a"]
    reader = SourceReader()
    assert len(reader.memory(tensor, 0, 20_000)) == 20_000
    os.truncate(path, tensor.begin + 120)
    with pytest.raises(ConversionError) as error:
        reader.memory(tensor, 0, 20_000)
    assert str(error.value) == (
        f"{path}: expected {tensor.begin + 20_000} bytes, found {tensor.begin + 120}; "
        "the file was changed while it was read"
    )


def test_files_that_are_no_longer_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"five!")
    seen = {str(path): identity_of(path.stat())}
    check_unchanged(seen)
    path.unlink()
    with pytest.raises(ConversionError) as error:
        check_unchanged(seen)
    assert str(error.value) == (
        f"{path}: expected the file that was read, found none; the file was changed while it was read"
    )


def test_where_no_blocks_can_be_reserved(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    preallocate(writer, 1 << 40, "")
    os.close(reader)
    os.close(writer)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    preallocate(descriptor, 12345, "")
    assert os.fstat(descriptor).st_size in (0, 12345)
    os.close(descriptor)
