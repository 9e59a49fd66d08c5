"""Sources that change while they are read: refused with the name of the file, whatever was read meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..runtime.toy import load_toy
from ..runtime.toy_checkpoint import hf_tensors, write_hf, write_mcore
from .children import write_source
from .commands import Outcome, run_apart, state_of
from .hostile_folders import sharded
from .pickles import write_torch

MODEL = "model.safetensors"


def longer(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(b"\0")


def shorter(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def touched(path: Path) -> None:
    os.utime(path)


def replaced(path: Path) -> None:
    """The same bytes in another file, with the same times."""
    shutil.copy2(path, path.with_name("copy"))
    os.replace(path.with_name("copy"), path)


def removed(path: Path) -> None:
    path.unlink()


# What is done to a file, and what is said of it, with its size.
CHANGES: dict[Callable[[Path], None], str] = {
    longer: "expected {} bytes, found {}",
    shorter: "expected {} bytes, found {}",
    touched: "expected it last written at {}, found {}",
    replaced: "expected the file that was read, found another",
    removed: "expected a file, found none",
}
# When it is done: what the converter announces, or how much it has written.
MOMENTS = ("planning", "checking values", "writing", "finishing", 1, -1)


def convert_while(
    source: Path, target: Path, moment: str | int, change: Callable[[], None], to: str
) -> Outcome:
    """Convert, and change something at a moment: the first time that it comes. -1 is when all has been written."""
    left, toy = [change], load_toy()

    def announce(what: str) -> None:
        if what == moment and left:
            left.pop()()

    def progress(done: int, total: int) -> None:
        if left and (moment == 1 or (moment == -1 and done == total)):
            left.pop()()

    def main(_: list[str]) -> int:
        how: dict[str, Any] = {"announce": announce, "progress": progress}
        try:
            toy.convert_checkpoint(source, target, to, threads=1, **how)
        except toy.ConversionError as error:
            print(error)
            return 1
        return 0 if not left else 2

    return run_apart(main)


def said_of(change: Callable[[Path], None], before: os.stat_result, path: Path) -> str:
    """The message about a file that was changed."""
    after = path.stat() if path.exists() else before
    numbers = (before.st_size, after.st_size)
    if change is touched:
        times = (before.st_mtime_ns, after.st_mtime_ns)
        said = CHANGES[change].format(*(f"{time / 1e9:.6f}" for time in times))
    else:
        said = CHANGES[change].format(*numbers)
    if change is not removed:
        said += "; the file was changed while it was read"
    return f"{path}: {said}\n"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_weights(
    change: Callable[[Path], None], moment: str | int, tmp_path: Path
) -> None:
    source, target = write_hf(tmp_path / "source"), tmp_path / "target"
    path = source / MODEL
    before = path.stat()
    outcome = convert_while(source, target, moment, lambda: change(path), "mcore")
    said = said_of(change, before, path)
    assert (outcome.code, outcome.out, outcome.err) == (1, said, "")
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("moment", ["planning", "writing", -1])
@pytest.mark.parametrize(
    "name",
    ["config.json", "model.safetensors.index.json", "model-00002-of-00002.safetensors"],
)
def test_other_files(name: str, moment: str | int, tmp_path: Path) -> None:
    source, target = write_hf(tmp_path / "source"), tmp_path / "target"
    sharded(source)
    path = source / name
    before = path.stat()
    outcome = convert_while(source, target, moment, lambda: touched(path), "mcore")
    said = said_of(touched, before, path)
    assert (outcome.code, outcome.out, outcome.err) == (1, said, "")
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("moment", ["planning", 1])
def test_a_file_of_torch(moment: str | int, tmp_path: Path) -> None:
    source, target = write_hf(tmp_path / "source"), tmp_path / "target"
    (source / MODEL).unlink()
    path = write_torch(source / "pytorch_model.bin", hf_tensors())
    before = path.stat()
    outcome = convert_while(source, target, moment, lambda: longer(path), "mcore")
    assert (outcome.code, outcome.out) == (1, said_of(longer, before, path))
    assert os.listdir(tmp_path) == ["source"]


def test_a_rank(tmp_path: Path) -> None:
    source = write_mcore(tmp_path / "source", hf_tensors(), 2, 2)
    path = source / "mp_rank_01_001" / MODEL
    before = path.stat()
    outcome = convert_while(
        source, tmp_path / "target", 1, lambda: replaced(path), "hf"
    )
    assert (outcome.code, outcome.out) == (1, said_of(replaced, before, path))
    assert os.listdir(tmp_path) == ["source"]


@pytest.mark.parametrize("size", [0, 1 << 20, 9 << 20])
def test_a_file_that_is_cut_off_while_it_is_mapped(size: int, tmp_path: Path) -> None:
    """Matrices that are turned are copied from mapped memory: touching it behind the end of the file would be the end."""
    source, target = write_source(tmp_path / "source"), tmp_path / "target"
    path = source / MODEL
    outcome = convert_while(source, target, 1, lambda: os.truncate(path, size), "mcore")
    assert (outcome.code, outcome.err) == (1, "")
    expected, found = outcome.out.split(", found ")
    assert expected.startswith(f"{path}: expected ")
    assert found == f"{size}; the file was changed while it was read\n"
    assert os.listdir(tmp_path) == ["source"]


def test_what_is_not_seen(tmp_path: Path) -> None:
    """A file that is written in place and gets its time back is the same file to all that the system tells."""
    source, target = write_hf(tmp_path / "source"), tmp_path / "target"
    path = source / MODEL

    def unseen() -> None:
        status = path.stat()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    outcome = convert_while(source, target, -1, unseen, "mcore")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    before = state_of(target)
    assert before == state_of(target)
