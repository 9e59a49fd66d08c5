"""Small maps, one a construct, against plain torch code that was written by hand beside each of them.

`maps/NAME.py` says for `maps/NAME.map`: `CASES`, each a config, a mesh, options and a dtype; `whole(c)`, the names and
shapes on the side without a mesh, some in dtypes of their own, `FIXED`; and `parts(tensors, c, mesh, rank)`, what a
rank of the other side holds of them; where that is not the same, `again(tensors, c)`, what of them comes back.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from .generated import of_file

MAPS = sorted((Path(__file__).parent / "maps").glob("*.map"))
Tensors = dict[str, torch.Tensor]


@cache
def sidecar(path: Path) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(path.with_suffix(".py"))))


class Run:
    """A case of a map, ready to be converted in both directions."""

    def __init__(self, path: Path, case: dict[str, Any]) -> None:
        self.side, self.module = sidecar(path), of_file(path)
        self.here: str = getattr(self.side, "WHOLE", "hf")
        self.there = {"hf": "mcore", "mcore": "hf"}[self.here]
        self.config = self.read(self.here)(case["config"], **case.get("options", {}))
        self.mesh = (
            self.module.Mesh(**case.get("mesh", {}))
            if "Mesh" in vars(self.module)
            else None
        )
        self.numbers = SimpleNamespace(**case["config"], **case.get("options", {}))
        self.dtype = getattr(torch, case.get("dtype", "int64"))

    def read(self, layout: str) -> Any:
        return getattr(self.module.Config, f"from_{layout}")

    @property
    def ranks(self) -> list[Any]:
        return self.mesh.ranks() if self.mesh else [None]

    def source(self) -> Tensors:
        """The tensors of the side without a mesh: every element its own number."""
        found, start = {}, 1
        same = getattr(self.side, "SAME", {})
        for name, shape in self.side.whole(self.numbers).items():
            count = torch.Size(shape).numel()
            numbers = torch.arange(start, start + count).reshape(shape)
            fixed = getattr(self.side, "FIXED", {})
            found[name] = numbers.to(fixed.get(name, self.dtype))
            start += count
        return {name: found[same.get(name, name)] for name in found}

    def again(self) -> Tensors:
        """What comes back of the source."""
        again = getattr(self.side, "again", None)
        return again(self.source(), self.numbers) if again else self.source()

    def parts(self, rank: Any) -> Tensors:
        made = self.side.parts(self.source(), self.numbers, self.mesh, rank)
        return {name: tensor.contiguous() for name, tensor in made.items()}

    def there_from(self, tensors: Tensors, rank: Any) -> Tensors:
        where = () if self.mesh is None else (self.mesh, rank)
        return dict(
            getattr(self.module, f"to_{self.there}")(tensors, self.config, *where)
        )

    def here_from(self, tensors: Any, config: Any) -> Tensors:
        where = () if self.mesh is None else (self.mesh,)
        return dict(getattr(self.module, f"to_{self.here}")(tensors, config, *where))

    def expected(self, layout: str, rank: Any = None) -> dict[str, Any]:
        where = () if self.mesh is None else (self.mesh,)
        where += (rank,) if rank is not None else ()
        found = getattr(self.module, f"expected_{layout}")(self.config, *where)
        return {name: shape for name, (shape, _) in found.items()}


def cases() -> Iterator[Any]:
    for path in MAPS:
        for number, case in enumerate(sidecar(path).CASES):
            yield pytest.param(path, case, id=f"{path.stem}-{number}")


every_case = pytest.mark.parametrize(("path", "case"), list(cases()))


@every_case
def test_there(path: Path, case: dict[str, Any]) -> None:
    run = Run(path, case)
    source = run.source()
    given = shuffled(source) | extra(run.side, "GONE_LEFT")
    for rank in run.ranks:
        found = run.there_from(given, rank)
        assert_same(found, run.parts(rank))
        said = list(run.expected(run.there, rank).items())
        assert said == list(known(run.side, found).items())
    assert_same(source, run.source())  # inputs are not changed
    if case.get("ranks"):
        assert [tuple(rank) for rank in run.ranks] == case["ranks"]


@every_case
def test_back(path: Path, case: dict[str, Any]) -> None:
    run = Run(path, case)
    given = {rank: shuffled(run.parts(rank)) for rank in reversed(run.ranks)}
    given[run.ranks[-1]] |= extra(run.side, "GONE_RIGHT")
    written = getattr(run.config, f"to_{run.there}")()
    config = run.read(run.there)(written, **options_of(run, case, written))
    assert_same(run.here_from(given, config), run.again())
    if len(run.ranks) == 1:
        assert_same(run.here_from(given[run.ranks[0]], config), run.again())
    assert run.expected(run.here) == known(run.side, run.again())


def others(run: Run, path: Path, case: dict[str, Any]) -> list[Run]:
    """The next two cases of the same checkpoint, on other meshes and with other options."""
    every = sidecar(path).CASES
    here = every.index(case)
    found = [
        Run(path, other)
        for other in every[here + 1 :] + every[:here]
        if (other["config"], other.get("dtype")) == (case["config"], case.get("dtype"))
    ]
    names = [*run.module.converter().variants]
    return [
        other
        for other in found
        if all(getattr(other.config, n) == getattr(run.config, n) for n in names)
    ][:2]


@pytest.mark.parametrize(
    ("path", "case"), [one for one in cases() if "mesh" in one.values[1]]
)
def test_across(path: Path, case: dict[str, Any]) -> None:
    """From one mesh to others; `ACROSS` says why not."""
    run = Run(path, case)
    given = {rank: shuffled(run.parts(rank)) for rank in run.ranks}
    given[run.ranks[-1]] |= extra(run.side, "GONE_RIGHT")
    for other in others(run, path, case):
        options = {n: vars(other.config)[n] for n in run.module.converter().options}
        made = run.module.resharding(run.module.converter())
        how = run.config, run.module.Meshes(run.mesh, other.mesh, options)
        for rank in other.ranks:
            try:
                found = run.module.convert_tensors(
                    made, run.there, given, *how, rank, None, False
                )
                assert_same(dict(found), other.parts(rank))
                assert not hasattr(run.side, "ACROSS")
            except run.module.ConversionError as error:
                assert str(error) == getattr(run.side, "ACROSS", None)


def known(side: SimpleNamespace, tensors: Tensors) -> dict[str, Any]:
    """The shapes that a converter knows without tensors: `ANY` are names of any shape, `OPTIONAL` names it leaves out."""
    free, left_out = getattr(side, "ANY", "$"), getattr(side, "OPTIONAL", "$")
    return {
        name: None if re.fullmatch(free, name) else tuple(tensor.shape)
        for name, tensor in tensors.items()
        if not re.fullmatch(left_out, name)
    }


def options_of(
    run: Run, case: dict[str, Any], written: dict[str, Any]
) -> dict[str, Any]:
    """The options that the config of the other side does not hold; the names of the source decide its variants."""
    options = {n: v for n, v in case.get("options", {}).items() if n not in written}
    return {n: v for n, v in options.items() if n != "experts"}


def shuffled(tensors: Tensors) -> Tensors:
    return dict(sorted(tensors.items(), key=lambda item: item[0][::-1]))


def extra(side: SimpleNamespace, which: str) -> Tensors:
    """Tensors that the map leaves behind."""
    return {name: torch.zeros(2) for name in getattr(side, which, ())}


def assert_same(found: Tensors, expected: Tensors) -> None:
    """The same names, shapes, dtypes and elements."""
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        assert found[name].shape == tensor.shape, name
        assert found[name].dtype == tensor.dtype, name
        assert found[name].tolist() == tensor.tolist(), name
