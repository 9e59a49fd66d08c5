"""The configs of the shipped maps, each value of each key replaced by others: read, or refused in one line, at once."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ..runtime.files import Stored, write
from .commands import SECONDS, run_apart, state_of

GENERATED = Path(__file__).parents[2] / "generated"
STEMS = sorted(path.stem[5:] for path in GENERATED.glob("test_*.py"))
VALUES: list[Any] = [
    -1,
    10**9,
    "x",
    [],
    None,
    2**62,
    {},
    0,
    10**6,
    [10**9] * 4,
    True,
    1.5,
]
VALUES += [2**63, {"a": 1}, "", 1e300, 10**900, [1, 2, 3], [[]] * 3]


def small_config_of(stem: str) -> ModuleType:
    """The test beside a converter, which has a small config."""
    name = f"hostile_{stem}"
    spec = importlib.util.spec_from_file_location(name, GENERATED / f"test_{stem}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def write_checkpoint(path: Path, converter: Any, layout: str, config: Any) -> Path:
    """A checkpoint of zeros."""
    expected: Mapping[str, Any] = getattr(converter, f"expected_{layout}")(config)
    tensors = {}
    for name, (found, dtype) in expected.items():
        shape = found or (1,)
        code, width = ("U8", 1) if dtype == "uint8" else ("F32", 4)
        tensors[name] = Stored(code, shape, bytes(width * prod(shape)))
    write(path / "model.safetensors", tensors)
    said = getattr(config, f"to_{layout}")()
    (path / "config.json").write_text(json.dumps(said))
    return path


def paths_in(config: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The keys of a config, and of the objects in it."""
    for key, value in config.items():
        yield (key,)
        if isinstance(value, Mapping):
            yield from ((key, *path) for path in paths_in(value))


def changed(config: Any, path: tuple[str, ...], value: Any) -> Any:
    """A config that says something else at a place."""
    made = json.loads(json.dumps(config))
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


def try_configs(
    converter: Any,
    source: Path,
    to: str,
    changes: Iterator[tuple[tuple[str, ...], Any]],
) -> None:
    """Convert with every one of these changes in turn, all in one process of their own."""
    file = source / "config.json"
    config = file.read_text()

    def main(_: list[str]) -> int:
        for path, value in changes:
            signal.alarm(SECONDS)
            file.write_text(json.dumps(changed(json.loads(config), path, value)))
            try_config(converter, source, to, (".".join(path), value))
        return 0

    assert run_apart(main) == (0, "", "")
    file.write_text(config)


def try_config(converter: Any, source: Path, to: str, what: object) -> None:
    """Convert; `what` is said where that ends in an odd way."""
    before, target = state_of(source.parent), source.parent / "target"
    arguments = [f"to-{to}", str(source), str(target), "--quiet"]
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = converter.main(arguments)
    said = err.getvalue()
    shown = (what, code, out.getvalue(), said)
    if code == 0:
        assert said == "", shown
        shutil.rmtree(target)
    else:
        assert code == 1 and said.startswith("error: "), shown
        assert said.count("\n") == 1 and len(said) < 2100, shown
        assert state_of(source.parent) == before, shown


def try_map(stem: str, path: Path, each: int | None) -> None:
    """Try a map in both directions, with so many values for one key in three, in turn; None says all, for all."""
    module = small_config_of(stem)
    converter = module.m
    left, right = (side.name for side in converter.converter()[3:5])
    source = write_checkpoint(path / "left", converter, left, module.CONFIG)
    assert run_apart(converter.main, f"to-{right}", source, path / "right").code in (
        0,
        1,
    )
    for here, there in (("left", right), ("right", left)):
        if (path / here).exists():
            config = json.loads((path / here / "config.json").read_text())
            paths = list(paths_in(config))[:: 1 if each is None else 3]
            changes = (
                (one, VALUES[(number * 5 + n) % len(VALUES)])
                for number, one in enumerate(paths)
                for n in range(each or len(VALUES))
            )
            try_configs(converter, path / here, there, changes)


@pytest.mark.parametrize("stem", STEMS)
def test_a_value_for_one_key_in_three(stem: str, tmp_path: Path) -> None:
    try_map(stem, tmp_path, 1)


@pytest.mark.long
@pytest.mark.parametrize("stem", STEMS)
def test_every_value_for_each_key(stem: str, tmp_path: Path) -> None:
    try_map(stem, tmp_path, None)
