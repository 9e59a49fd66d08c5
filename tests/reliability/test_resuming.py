"""--resume: whatever a partial directory holds, the target is the one of a single run, and nothing else is touched."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from .children import PARTIAL, RANK, Place, content, convert_here

CHUNK = 768 << 10  # bytes that are compared at once


@pytest.fixture
def place(all_tests: Place) -> Iterator[Place]:
    """A folder with the source and a partial directory that is whole. Beside it is a folder that is not touched."""
    all_tests.set_up(overwrite=False)
    partial, beside = all_tests.folder / PARTIAL, all_tests.folder.parent / "beside"
    assert all_tests.whole is not None
    for name, data in all_tests.whole.items():
        (partial / name).parent.mkdir(parents=True, exist_ok=True)
        (partial / name).write_bytes(data)
    beside.mkdir()
    (beside / "precious").write_bytes(all_tests.whole[RANK][::-1])
    before = content(beside)
    yield all_tests
    assert content(beside) == before
    shutil.rmtree(beside)


def nothing(partial: Path) -> None:
    pass


def one_byte(partial: Path) -> None:
    data = bytearray((partial / RANK).read_bytes())
    data[5 * CHUNK + 7] ^= 1
    (partial / RANK).write_bytes(data)


def header(partial: Path) -> None:
    data = bytearray((partial / RANK).read_bytes())
    data[:100] = bytes(100)
    (partial / RANK).write_bytes(data)


def cut_off(partial: Path) -> None:
    os.truncate(partial / RANK, 4 * CHUNK + 1)


def longer(partial: Path) -> None:
    with open(partial / RANK, "ab") as file:
        file.write(b"more")


def empty(partial: Path) -> None:
    os.truncate(partial / RANK, 0)


def missing(partial: Path) -> None:
    (partial / RANK).unlink()


def linked(partial: Path) -> None:
    (partial / RANK).unlink()
    (partial / RANK).symlink_to(partial.parent.parent / "beside/precious")


def linked_to_the_source(partial: Path) -> None:
    (partial / RANK).unlink()
    (partial / RANK).symlink_to(partial.parent / "hf/model.safetensors")


def with_another_name(partial: Path) -> None:
    (partial / RANK).unlink()
    (partial / RANK).hardlink_to(partial.parent.parent / "beside/precious")


def pipe(partial: Path) -> None:
    (partial / RANK).unlink()
    os.mkfifo(partial / RANK)


def folder_for_a_file(partial: Path) -> None:
    (partial / RANK).unlink()
    (partial / RANK).mkdir()
    (partial / RANK / "below").write_text("below")


def file_for_a_folder(partial: Path) -> None:
    (partial / RANK).unlink()
    (partial / RANK).parent.rmdir()
    (partial / RANK).parent.write_text("a file")


def linked_folder(partial: Path) -> None:
    (partial / RANK).unlink()
    (partial / RANK).parent.rmdir()
    (partial / RANK).parent.symlink_to(partial.parent.parent / "beside")


def more(partial: Path) -> None:
    (partial / "a/b").mkdir(parents=True)
    (partial / "a/b/c").write_text("c")
    (partial / "link").symlink_to(partial.parent.parent / "beside")
    (partial / "dangling").symlink_to("nowhere")
    (partial / RANK).with_name("other.safetensors").write_text("other")


def documents(partial: Path) -> None:
    (partial / "config.json").write_text("{")
    (partial / "tokenizer.json").unlink()
    (partial / "tokenizer.json").symlink_to(partial.parent.parent / "beside/precious")


def no_folder(partial: Path) -> None:
    shutil.rmtree(partial)


def all_linked(partial: Path) -> None:
    shutil.rmtree(partial)
    partial.symlink_to(partial.parent.parent / "beside")


def a_file(partial: Path) -> None:
    shutil.rmtree(partial)
    partial.write_text("a file")


RANKS = (RANK, RANK.replace("00_", "01_"))
# What may have happened to the partial directory, and what is written again: bytes, or whole files.
WRECKS: dict[Callable[[Path], None], int | tuple[str, ...]] = {
    nothing: 0,
    one_byte: CHUNK,
    header: 0,
    longer: 0,
    cut_off: -4 * CHUNK,
    empty: (RANK,),
    missing: (RANK,),
    linked: (RANK,),
    linked_to_the_source: (RANK,),
    with_another_name: (RANK,),
    pipe: (RANK,),
    folder_for_a_file: (RANK,),
    file_for_a_folder: (RANK,),
    linked_folder: (RANK,),
    more: 0,
    documents: 0,
    no_folder: RANKS,
    all_linked: RANKS,
    a_file: RANKS,
}


def data_size(file: bytes) -> int:
    return len(file) - 8 - int.from_bytes(file[:8], "little")


@pytest.mark.parametrize("wreck", WRECKS, ids=lambda wreck: wreck.__name__)
def test_resumed(place: Place, wreck: Callable[[Path], None]) -> None:
    assert place.whole is not None
    sizes = {name: data_size(place.whole[name]) for name in RANKS}
    match WRECKS[wreck]:
        case int(count):
            again = count if count >= 0 else len(place.whole[RANK]) + count
        case names:
            again = sum(sizes[name] for name in names)
    wreck(place.folder / PARTIAL)
    code, out = convert_here(place.folder, "--resume", "--json")
    assert code == 0, out
    assert place.check() == "whole"
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]
    assert json.loads(out)["bytes_kept"] == sum(sizes.values()) - again


@pytest.mark.parametrize("wreck", WRECKS, ids=lambda wreck: wreck.__name__)
def test_not_resumed(place: Place, wreck: Callable[[Path], None]) -> None:
    wreck(place.folder / PARTIAL)
    code, out = convert_here(place.folder, "--json")
    assert code == 0, out
    assert place.check() == "whole"
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]
    assert json.loads(out)["bytes_kept"] == 0


def test_with_other_flags(place: Place) -> None:
    """A run goes on with what another one has left, which had other flags, and makes what it is asked for."""
    flags = ("--tp", "1", "--dtype", "f32", "--quiet")
    partial, target = place.folder / PARTIAL, place.folder / "mcore"
    shutil.move(partial, place.folder / "other")
    assert convert_here(place.folder, *flags) == (0, "")
    fresh = content(target)
    shutil.rmtree(target)
    shutil.move(place.folder / "other", partial)
    assert convert_here(place.folder, *flags, "--resume") == (0, "")
    assert content(target) == fresh != place.whole


def test_verified_as_well(place: Place) -> None:
    one_byte(place.folder / PARTIAL)
    code, out = convert_here(place.folder, "--resume", "--verify", "--threads", "3")
    assert code == 0 and place.check() == "whole"
    assert out.splitlines()[2:4] == [
        "every element compared with the source",
        "19.84 MB were there already",
    ]


def test_the_room_of_what_is_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier run has left takes room that this run will not take in addition."""
    free = SimpleNamespace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert convert_here(place.folder, "--resume", "--quiet") == (0, "")
    (place.folder / "mcore").rename(place.folder / PARTIAL)
    assert convert_here(place.folder, "--quiet") == (0, "")
    (place.folder / "mcore").rename(place.folder / "other")
    assert convert_here(place.folder, "--quiet")[0] == 3
    (place.folder / "other").rename(place.folder / "mcore")
