"""Faults while a converter runs: one line says what went wrong, the source stays, the target is whole or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..runtime.toy import load_toy
from ..runtime.toy_checkpoint import write_hf
from .breaking import only
from .children import (
    MESH,
    PARTIAL,
    RANK,
    Ended,
    Place,
    content,
    convert,
    convert_here,
    end,
    start,
)
from .commands import run_apart
from .faulty import NOT_PERMITTED


class Fault(NamedTuple):
    """A fault, and the line that says it."""

    fault: dict[str, Any]
    line: str
    arguments: tuple[str, ...] = ()


FAULTS = {
    "limit of the size of files": Fault(
        {"limit": 1_000_000}, f"[Errno 27] File too large: 'FOLDER/{PARTIAL}/{RANK}'"
    ),
    "limit, nothing reserved": Fault(
        {"limit": 1_000_000, "reserve": False},
        f"[Errno 27] File too large: 'FOLDER/{PARTIAL}/{RANK}'",
        ("--threads", "1"),
    ),
    "read error": Fault(
        {"fail": ["preadv", "EIO", 5]},
        "[Errno 5] Input/output error: 'hf/model.safetensors'",
    ),
    "write error": Fault(
        {"fail": ["pwrite", "EIO", 9]},
        f"[Errno 5] Input/output error: 'FOLDER/{PARTIAL}/RANK'",
    ),
    "quota": Fault(
        {"fail": ["pwrite", "EDQUOT", 2]},
        f"[Errno 122] Disk quota exceeded: 'FOLDER/{PARTIAL}/RANK'",
        ("--threads", "3"),
    ),
    "disk that does not take it": Fault(
        {"fail": ["fsync", "EIO", 0]},
        f"[Errno 5] Input/output error: 'FOLDER/{PARTIAL}/RANK'",
        ("--fsync",),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault(place: Place, name: str) -> None:
    fault, line, arguments = FAULTS[name]
    ended = convert(place, fault, *arguments)
    said = ended.err.replace(str(place.folder), "FOLDER")
    for rank in ("mp_rank_00_000", "mp_rank_01_000"):
        said = said.replace(f"{rank}/model.safetensors", "RANK")
    line = line.replace(RANK, "RANK")
    assert (ended.code, ended.out, said) == (3, "", f"error: {line}\n")
    assert place.check() == "none"
    assert os.listdir(place.folder) == ["hf"]


@pytest.mark.parametrize("name", ["write error", "limit of the size of files"])
def test_fault_of_a_run_that_is_resumed(place: Place, name: str) -> None:
    """What is written stays, and the next run goes on with it."""
    fault, _, arguments = FAULTS[name]
    ended = convert(place, fault, *arguments, "--resume")
    assert ended.code == 3
    assert sorted(os.listdir(place.folder)) == [PARTIAL, "hf"]
    assert convert_here(place.folder, "--resume", "--quiet") == (0, "")
    assert place.check() == "whole"
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]


# ---- a full disk


def full(place: Place, size: int, **fault: Any) -> Ended:
    """A conversion to a disk of so many bytes, which only the process that converts sees."""
    disk = place.folder / "disk"
    disk.mkdir()
    fault |= {"mount": ["-t", "tmpfs", "-o", f"size={size}", "full", str(disk)]}
    try:
        command = ("to-mcore", "hf", "disk/mcore", *MESH)
        ended = end(start(place, fault | {"look": ["disk"]}, *command))
    finally:
        disk.rmdir()
    if ended.code == NOT_PERMITTED:
        pytest.skip("nothing can be mounted here")
    assert content(place.folder / "hf") == place.source
    return ended


def test_a_disk_that_is_too_small(place: Place) -> None:
    ended = full(place, 8 << 20)
    assert (ended.code, ended.out) == (3, "left\n")
    assert ended.err == (
        f"error: [Errno 28] expected 20.74 MB free, found 8.39 MB: '{place.folder}/disk/mcore'\n"
    )


@pytest.mark.parametrize("reserve", [True, False])
@pytest.mark.parametrize(
    "file, pages",
    [("model.safetensors", -9), ("tokenizer.json", 9), ("config.json", 25)],
)
def test_a_disk_that_becomes_full(
    place: Place, file: str, pages: int, reserve: bool
) -> None:
    """There was room when the run began. A disk that holds the weights may not hold what stands beside them."""
    assert place.whole is not None
    weights = [data for name, data in place.whole.items() if name.endswith("tensors")]
    room = sum(-(-len(data) // 4096) for data in weights) + pages
    ended = full(place, room * 4096, room=True, reserve=reserve)
    assert (ended.code, ended.out) == (3, "left\n")
    (line,) = ended.err.splitlines()
    assert line.startswith("error: [Errno 28] No space left on device: ")
    assert line.endswith(f"/{file}'")


def test_a_header_that_cannot_be_read(tmp_path: Path) -> None:
    """As on a disk that fails: the memory of a process has nothing where it begins."""
    source, memory = write_hf(tmp_path / "hf"), Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("the system has no file that cannot be read")
    file = source / "model.safetensors"
    file.unlink()
    file.symlink_to(memory)
    target = tmp_path / "mcore"
    ended = run_apart(load_toy().main, "to-mcore", source, target, "--follow-links")
    assert ended == (3, "", f"error: [Errno 5] Input/output error: '{file}'\n")
    assert os.listdir(tmp_path) == ["hf"]


# ---- nothing to print to, no memory


def test_without_stdout_and_stderr(place: Place) -> None:
    """As a service may be started; files of the source and the target then have the numbers of these."""
    command = [sys.executable, str(place.converter), *place.command()]
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(closed, check=False, cwd=place.folder).returncode == 0
    assert place.check() == "whole"
    assert subprocess.run(closed, check=False, cwd=place.folder).returncode == 1
    assert place.check() == "whole"


def test_an_error_that_cannot_be_printed(place: Place) -> None:
    """Its exit code says it."""
    command = [sys.executable, str(place.converter), "to-mcore", "gone", "mcore"]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            [*command, "--json"], check=False, cwd=place.folder, stderr=full
        )
    assert ended.returncode == 3
    assert os.listdir(place.folder) == ["hf"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_report_that_cannot_be_printed(
    place: Place, flags: tuple[str, ...], unbuffered: str
) -> None:
    """The target is complete, and whoever waits for the report learns that none comes."""
    place.set_up(overwrite=False)
    command = [sys.executable, str(place.converter), *place.command(), *flags]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    full = "[Errno 28] No space left on device\n"
    for said in (
        f"error: all is done, but cannot be told: {full}",
        f"error: {place.folder}/mcore: expected no such directory, found one; --overwrite replaces it\n",
    ):
        with open("/dev/full", "w") as stdout:
            ended = subprocess.run(
                command,
                check=False,
                cwd=place.folder,
                env=environment,
                stdout=stdout,
                stderr=subprocess.PIPE,
                text=True,
            )
        code = 3 if full in said else 1
        assert (ended.returncode, ended.stderr) == (code, said)
        assert place.check() == "whole"


def test_too_little_memory(tmp_path: Path) -> None:
    """A header of 80 MB takes 1.6 GB to be read."""
    source, target = write_hf(tmp_path / "hf"), tmp_path / "mcore"
    only(b'{"a":[' + b"[]," * 26_000_000 + b"[]]}")(source)
    ended = run_apart(load_toy().main, "to-mcore", source, target)
    file = source / "model.safetensors"
    said = f"error: [Errno 12] expected more memory, found none left: '{file}'\n"
    assert (ended.code, ended.out, ended.err) == (3, "", said)
    assert os.listdir(tmp_path) == ["hf"]


# ---- permissions


def test_no_permission(place: Place) -> None:
    """A file of the source that may not be read, a folder that may not be written to."""
    user = {"user": 65534} if os.geteuid() == 0 else {}
    weights = place.folder / "hf/model.safetensors"
    mode = weights.stat().st_mode
    closed = [one for one in place.folder.parents if not one.stat().st_mode & 1]
    parents = [place.folder, *closed]
    modes = [parent.stat().st_mode for parent in parents]
    try:
        for parent in parents:
            parent.chmod(0o755)
        place.folder.chmod(0o555)
        ended = convert(place, user)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            f"error: [Errno 13] Permission denied: '{place.folder}/.mcore.mapc-lock'\n"
        )
        weights.chmod(0)
        ended = convert(place, user)
        assert (ended.code, ended.out) == (3, "")
        assert ended.err == (
            "error: [Errno 13] Permission denied: 'hf/model.safetensors'\n"
        )
    finally:
        weights.chmod(mode)
        for parent, mode in zip(parents, modes):
            parent.chmod(mode)
    assert os.listdir(place.folder) == ["hf"]
