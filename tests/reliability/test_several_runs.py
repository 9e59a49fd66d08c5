"""Several runs to one target: one at a time makes it, under its name always stands a whole one, never the source."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.lock import locked

from .children import MESH, PARTIAL, Place, content, convert, end, start
from .faulty import NOT_PERMITTED


@pytest.mark.parametrize(
    "arguments", [(), ("--resume",), ("--overwrite",), ("--plan",)]
)
def test_two_runs_at_once(place: Place, arguments: tuple[str, ...]) -> None:
    process = start(place, {"told": True, "slow": 0.01}, *place.command(), "--quiet")
    assert process.stderr is not None
    assert any("write" in line for line in process.stderr)
    ended = convert(place, {}, *arguments)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"error: {place.folder}/mcore: expected no other run that writes there, found one; "
        "wait until it has ended, or choose another directory\n"
    )
    ended = end(process)
    assert (ended.code, ended.err) == (0, "")
    assert place.check() == "whole"
    assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]


def test_a_lock_that_is_given_back_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has opened the file before its holder removes it does not hold the lock: there is another file then."""
    path, flock = tmp_path / "lock", fcntl.flock
    calls = iter([path.unlink])

    def remove_first(descriptor: int, how: int) -> None:
        for remove in calls:
            remove()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with (
        locked(str(path), "target"),
        pytest.raises(ConversionError),
        locked(str(path), "target"),
    ):
        pass
    assert not path.exists()


def test_many_runs_at_once(place: Place) -> None:
    """Whoever comes first makes the target; each of the others does so later, or is refused."""
    for overwrite in (False, True):
        place.set_up(overwrite)
        command = (*place.command(), "--quiet", *["--overwrite"] * overwrite)
        runs = [start(place, {"slow": 0.001}, *command) for _ in range(6)]
        codes = [end(run).code for run in runs]
        assert set(codes) <= {0, 1} and 0 in codes
        assert place.check() == "whole"
        assert sorted(os.listdir(place.folder)) == ["hf", "mcore"]


def test_the_target_is_never_absent(place: Place) -> None:
    """While it is overwritten there is always a whole checkpoint under its name."""
    place.set_up(overwrite=True)
    path, seen, absent = place.folder / "mcore/config.json", set(), 0
    fault = {"slow": 0.003}
    process = start(place, fault, *place.command(), "--overwrite", "--quiet")
    while process.poll() is None:
        try:
            seen.add(path.read_bytes())
        except FileNotFoundError:
            absent += 1
    assert (end(process).code, absent, len(seen)) == (0, 0, 2)


# ---- what is on the disk


def test_fsync(place: Place) -> None:
    """Everything reaches the disk before the target has its name, the name before the old target goes."""
    place.set_up(overwrite=True)
    ended = convert(place, {"told": True}, "--fsync", "--overwrite", "--quiet")
    assert ended.code == 0
    synced = [step[5:] for step in ended.steps if step.startswith("sync ")]
    files = {f"{PARTIAL}/{name}" for name in os.listdir(place.folder / "mcore")}
    ranks = ("mp_rank_00_000", "mp_rank_01_000")
    files |= {f"{PARTIAL}/{rank}/model.safetensors" for rank in ranks}
    assert set(synced[:-2]) == files
    assert synced[-2:] == [PARTIAL, "."]
    order = [ended.steps.index(f"sync {PARTIAL}"), ended.steps.index("exchange 2")]
    order += [ended.steps.index("exchanged 2"), ended.steps.index("sync .")]
    removed = [n for n, step in enumerate(ended.steps) if step.startswith("os.remove")]
    assert order == sorted(order) and min(removed) > order[-1]
    ended = convert(place, {"told": True}, "--overwrite", "--quiet")
    assert not any(step.startswith("sync ") for step in ended.steps)


# ---- one folder under two names


def test_a_source_under_another_name(place: Place) -> None:
    """The target is the source, mounted at a second place: overwriting it would remove the source."""
    other = place.folder / "other"
    other.mkdir()
    fault = {"mount": ["--bind", str(place.folder / "hf"), str(other)]}
    try:
        command = ("to-mcore", "hf", "other", *MESH, "--overwrite")
        same = end(start(place, fault, *command))
        inside = end(start(place, fault, "to-mcore", "hf", "other/below", *MESH))
    finally:
        other.rmdir()
    if same.code == NOT_PERMITTED:
        pytest.skip("nothing can be mounted here")
    for name, ended in (("other", same), ("other/below", inside)):
        assert ended.code == 1
        assert ended.err == (
            f"error: {place.folder}/{name}: expected a target apart from the source, "
            f"found {place.folder}/hf in one line with it; choose another directory\n"
        )
    assert content(place.folder / "hf") == place.source
