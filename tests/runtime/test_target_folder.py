"""The target exists in full or not at all, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from .files import files_of
from .toy import load_toy
from .toy_checkpoint import hf_tensors, to_mcore, write_hf


def refused(source: Path, target: Path, message: str, **how: Any) -> None:
    """Refused with this message, and neither source nor target nor anything beside them changes."""
    before = files_of(source.parent)
    with pytest.raises(load_toy().ConversionError) as error:
        to_mcore(source, target, **how)
    assert str(error.value) == message
    assert files_of(source.parent) == before


def test_an_existing_target(tmp_path: Path) -> None:
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    target.mkdir()
    refused(
        source,
        target,
        f"{target}: expected no such directory, found one; --overwrite replaces it",
    )


def test_overwrite(tmp_path: Path) -> None:
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    to_mcore(source, tmp_path / "fresh")
    target.mkdir()
    (target / "old").write_text("old")
    to_mcore(source, target, overwrite=True, plan_only=True)
    assert files_of(target) == {"old": b"old"}
    to_mcore(source, target, overwrite=True)
    assert files_of(target) == files_of(tmp_path / "fresh")
    assert sorted(os.listdir(tmp_path)) == ["fresh", "hf", "mcore"]


def test_overwrite_through_a_link(tmp_path: Path) -> None:
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    (tmp_path / "elsewhere").mkdir()
    target.symlink_to(tmp_path / "elsewhere")
    to_mcore(source, target, overwrite=True)
    assert target.is_symlink() and (tmp_path / "elsewhere/config.json").is_file()


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    target.write_text("precious")
    message = f"{target}: expected no such directory, found a file"
    refused(source, target, message, overwrite=True)


@pytest.mark.parametrize(
    "target",
    ["hf", "hf/below", "hf/../hf", ".", "..", "link"],
    ids=lambda t: t.replace("/", "-"),
)
def test_target_and_source_apart(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    source = write_hf(root / "hf")
    (root / "link").symlink_to(source)
    place = os.path.realpath(root / target)
    message = (
        f"{place}: expected a target apart from the source, found {source} in one line with it; "
        "choose another directory"
    )
    refused(source, root / target, message, overwrite=True)


@pytest.mark.parametrize("what", ["partial", "replaced", "lock"])
def test_source_in_the_way(tmp_path: Path, what: str) -> None:
    """A source with the name of what is cleared away is not cleared away."""
    source, target = write_hf(tmp_path / f".mcore.mapc-{what}"), tmp_path / "mcore"
    refused(
        source,
        target,
        f"{target}: expected a target apart from the source, found {source} in one line with it; "
        "choose another directory",
    )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "LICENSE"])
def test_files_of_the_source_in_the_way(tmp_path: Path, name: str) -> None:
    """A source whose files are links into the target that is to be replaced."""
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    (source / "LICENSE").write_text("free")
    target.mkdir()
    (source / name).rename(target / name)
    (source / name).symlink_to(target / name)
    refused(
        source,
        target,
        f"{target}: expected a target apart from the source, found {target} in one line with it; "
        "choose another directory",
        overwrite=True,
        follow_links=True,
    )


def test_no_parent(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    with pytest.raises(FileNotFoundError) as error:
        to_mcore(source, tmp_path / "none/mcore")
    assert str(error.value) == (
        f"{tmp_path / 'none'}: expected the directory that the target is made in, found none"
    )


def test_leftovers_are_cleared(tmp_path: Path) -> None:
    source = write_hf(tmp_path / "hf")
    partial = tmp_path / ".mcore.mapc-partial"
    partial.mkdir()
    (partial / "half").write_text("half")
    to_mcore(source, tmp_path / "mcore", plan_only=True)
    assert (partial / "half").is_file()
    to_mcore(source, tmp_path / "mcore")
    assert sorted(os.listdir(tmp_path)) == ["hf", "mcore"]
    assert not (tmp_path / "mcore/half").exists()


def test_what_a_swap_has_left_is_cleared(tmp_path: Path) -> None:
    """A run was killed when the new target was in its place, and the old one not removed yet."""
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    to_mcore(source, target)
    fresh = files_of(target)
    old = tmp_path / ".mcore.mapc-replaced"
    old.mkdir()
    (old / "old").write_text("old")
    to_mcore(source, target, overwrite=True)
    assert files_of(target) == fresh
    assert sorted(os.listdir(tmp_path)) == ["hf", "mcore"]


@pytest.mark.parametrize("what", ["partial", "replaced"])
def test_links_that_stand_beside_it_are_removed(tmp_path: Path, what: str) -> None:
    """And nothing of what they lead to."""
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    to_mcore(source, target)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").write_text("kept")
    (tmp_path / f".mcore.mapc-{what}").symlink_to(elsewhere)
    to_mcore(source, target, overwrite=True)
    assert files_of(elsewhere) == {"kept": b"kept"}
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "hf", "mcore"]


def test_a_target_that_was_moved_aside_is_kept(tmp_path: Path) -> None:
    source, old = write_hf(tmp_path / "hf"), tmp_path / ".mcore.mapc-replaced"
    old.mkdir()
    refused(
        source,
        tmp_path / "mcore",
        f"{old}: an overwriting that was cut off left the earlier target here; "
        "move it back or remove it",
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, OSError, RuntimeError])
def test_nothing_is_left_behind(
    tmp_path: Path, kind: type[BaseException], threads: int
) -> None:
    source = write_hf(tmp_path / "hf")
    (tmp_path / "mcore").mkdir()
    (tmp_path / "mcore/old").write_text("old")
    before = files_of(tmp_path)

    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise kind("stop")

    with pytest.raises(kind, match="stop"):
        to_mcore(
            source,
            tmp_path / "mcore",
            tp=2,
            pp=2,
            overwrite=True,
            progress=stop,
            threads=threads,
        )
    assert files_of(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == ["hf", "mcore"]
    assert threading.active_count() == 1


def test_an_interrupt_ends_the_threads(tmp_path: Path) -> None:
    """The interrupt comes to the main thread, which waits while others write."""
    source = write_hf(tmp_path / "hf")
    main = threading.main_thread().ident
    assert (
        main is not None
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    once = iter([signal.SIGINT])

    def interrupt(done: int, total: int) -> None:
        for number in once:
            signal.pthread_kill(main, number)

    with pytest.raises(KeyboardInterrupt):
        to_mcore(source, tmp_path / "mcore", tp=2, pp=2, threads=2, progress=interrupt)
    assert os.listdir(tmp_path) == ["hf"]
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(5)
    assert threading.active_count() == 1


def test_a_failed_swap_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where names cannot be exchanged there are two renamings."""
    toy = load_toy()
    monkeypatch.setattr(toy, "_rename", lambda *arguments: False)
    source = write_hf(tmp_path / "hf")
    (tmp_path / "mcore").mkdir()
    (tmp_path / "mcore/old").write_text("old")
    rename, calls = os.rename, []

    def second_fails(one: str, other: str) -> None:
        calls.append(one)
        if len(calls) == 2:
            raise OSError("no")
        rename(one, other)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="no"):
        to_mcore(source, tmp_path / "mcore", overwrite=True)
    assert files_of(tmp_path / "mcore") == {"old": b"old"}
    assert sorted(os.listdir(tmp_path)) == ["hf", "mcore"]


def test_too_little_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_hf(tmp_path / "hf")
    free = shutil.disk_usage(tmp_path)._replace(free=5000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(OSError) as error:
        to_mcore(source, tmp_path / "mcore")
    assert str(error.value) == (
        f"[Errno 28] expected 7.99 KB free, found 5.00 KB: '{tmp_path / 'mcore'}'"
    )
    assert os.listdir(tmp_path) == ["hf"]


def test_verify_finds_a_flipped_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    toy = load_toy()
    verify = toy.verify_part

    def flip_first(*arguments: Any) -> None:
        path = Path(arguments[4])
        content = bytearray(path.read_bytes())
        at = content.index(hf_tensors()["layers.2.norm.weight"].data)
        content[at + 7] ^= 0x10
        path.write_bytes(content)
        verify(*arguments)

    monkeypatch.setattr(toy, "verify_part", flip_first)
    with pytest.raises(load_toy().ConversionError) as error:
        to_mcore(source, target, verify=True)
    value = hf_tensors()["layers.2.norm.weight"].data[6:8]
    assert str(error.value) == (
        f"{tmp_path}/.mcore.mapc-partial/mp_rank_00_000/model.safetensors: decoder.2.norm.weight: "
        f"element [3]: expected the bytes {value.hex(' ')}, found {bytes([value[0], value[1] ^ 16]).hex(' ')}; "
        "the file differs from what was written to it, the storage is not reliable"
    )
    assert os.listdir(tmp_path) == ["hf"]


@pytest.mark.parametrize(
    "how, message",
    [
        (
            {"vocab": 1},
            "option or variant: expected vocab_multiple, final, found 'vocab'",
        ),
        ({"x": "y"}, "option or variant: expected vocab_multiple, final, found 'x'"),
        ({"final": "y"}, "variant final: expected own, shared, found 'y'"),
        ({"dtype": "f8"}, "dtype: expected f32, bf16, f16, found 'f8'"),
        ({"threads": 0}, "threads: expected 1 or more, found 0"),
        (
            {"max_shard_size": "5 apples"},
            "expected a size such as 5GB or 2GiB, found '5 apples'",
        ),
        ({"max_memory": 0}, "expected a size such as 5GB or 2GiB, found 0"),
    ],
)
def test_misuse(tmp_path: Path, how: Any, message: str) -> None:
    with pytest.raises(load_toy().UsageError) as error:
        to_mcore(tmp_path / "never-read", tmp_path / "never", **how)
    assert str(error.value) == message
