"""Whole state dicts by kernels: the same bits as by torch, then how long that takes beside a copy of as many bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType
from typing import Any

from . import gpu_methods as methods
from .gpu_clock import Clock, Times, by_torch, copying, median, same_bits
from .gpu_models import Model, tensors_of

BUCKET = 1 << 30
# What torch.compile says where it does not work, and any of them where memory is short.
NO_COMPILER = (RuntimeError, ImportError, OSError)


@dataclass
class Row:
    """What was measured of one conversion: milliseconds, bytes; `goal` is the ratio to a copy that is wanted."""

    model: str
    work: str
    size: int = 0
    goal: float | None = None
    launches: int | None = None
    first: float | None = None
    host: float | None = None
    peak: float | None = None
    times: Times = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def ratio(self, name: str) -> float | None:
        """The time of a copy over that of a function."""
        copy, found = median(self.times, "copy"), median(self.times, name)
        return None if copy is None or not found else copy / found


@dataclass(frozen=True)
class Way:
    """A conversion: where to, from which tensors, on which mesh and rank."""

    work: str
    to: str
    source: Any
    mesh: Any
    rank: Any = None

    def prepared(self, module: ModuleType, config: Any) -> Any:
        return module.prepare(self.to, self.source, config, self.mesh, self.rank)

    def yielded(self, module: ModuleType, config: Any) -> Iterator[tuple[str, Any]]:
        rank = (self.rank,) if self.to == "to_mcore" else ()
        found: Iterator[tuple[str, Any]] = getattr(module, self.to)(
            self.source, config, self.mesh, *rank
        )
        return found


def measure_model(model: Model, clock: Clock, memory: int | None) -> list[Row]:
    """The rows of a model, of which one source is held at a time."""
    module = model.loaded()
    config, said = model.sized(memory)
    one, eight = module.Mesh(), module.Mesh(**model.ranks)
    hf = tensors_of(module.expected_hf(config), clock.device)
    rows = []
    for mesh in (one, eight):
        way = Way(f"HF -> mcore {_named(mesh)}", "to_mcore", hf, mesh, mesh.ranks()[0])
        rows.append(_measure(model, module, config, clock, way))
    del hf, way
    clock.forget()
    for mesh in (one, eight):
        ranks = {
            rank: tensors_of(module.expected_mcore(config, mesh, rank), clock.device)
            for rank in mesh.ranks()
        }
        way = Way(f"mcore {_named(mesh)} -> HF", "to_hf", ranks, mesh)
        rows.append(_measure(model, module, config, clock, way))
        if mesh is eight:
            rows.append(_measure_buckets(model, module, config, clock, way))
        del ranks, way
        clock.forget()
    for row in rows:
        row.model += f", {said}"
    return rows


def _named(mesh: Any) -> str:
    return (
        " ".join(f"{dim}={size}" for dim, size in vars(mesh).items() if size > 1)
        or "tp=1"
    )


def _measure(
    model: Model, module: ModuleType, config: Any, clock: Clock, way: Way
) -> Row:
    clock.peak()
    begin = time.perf_counter()
    conversion = way.prepared(module, config)
    found = conversion()
    clock.wait()
    first = time.perf_counter() - begin
    size = sum(tensor.nbytes for tensor in conversion._own.values())
    row = Row(model.name, way.work, size, model.goal, conversion.launches)
    row.peak = clock.peak()
    row.wrong += _differing(module, config, way, found)
    functions: dict[str, Callable[[], object]] = {
        "copy": copying(clock, size),
        "prepared": conversion,
        "generator": lambda: [None for _ in way.yielded(module, config)],
    }
    functions |= _others(module, config, clock, way, row, found)
    row.wrong += _on_streams(clock, conversion, found)
    row.times = clock.times(functions)
    if clock.is_gpu:
        row.first, row.host = 1e3 * first, clock.host(conversion)
    return row


def _differing(
    module: ModuleType, config: Any, way: Way, found: dict[str, Any]
) -> list[str]:
    """The tensors that torch makes otherwise, one at a time."""
    with by_torch(module):
        wrong = _unlike(way.yielded(module, config), found, "by kernels")
    return wrong + _unlike(way.yielded(module, config), found, "of the generator")


def _unlike(
    yielded: Iterator[tuple[str, Any]], found: dict[str, Any], how: str
) -> list[str]:
    left = dict(found)
    wrong = [
        f"{name} {how} differs"
        for name, tensor in yielded
        if not same_bits(tensor, left.pop(name))
    ]
    return wrong + [f"{name} {how} is too many" for name in left]


def _others(
    module: ModuleType,
    config: Any,
    clock: Clock,
    way: Way,
    row: Row,
    found: dict[str, Any],
) -> dict[str, Callable[[], object]]:
    """What others do with one rank, where all that they make is as it has to be."""
    ranks = way.mesh.ranks()
    if len(ranks) > 1:
        return {}
    source = way.source if way.to == "to_mcore" else way.source[ranks[0]]
    whole = methods.fused if way.to == "to_mcore" else methods.split
    ways: dict[str, Any] = (
        {"Bridge": methods.fuse_by_cat, "views": methods.fuse_by_views}
        if way.to == "to_mcore"
        else {"NeMo-RL": methods.split_by_index, "views": methods.split_by_views}
    )
    try:
        ways["compile"] = methods.compiled(clock.device)[
            "fuse" if way.to == "to_mcore" else "split"
        ]
    except RuntimeError as error:
        row.notes.append(f"torch.compile: {error}")
    chosen: dict[str, Callable[[], object]] = {}
    for name, method in ways.items():
        function = partial(whole, source, config, method)
        try:
            made = function()
        except NO_COMPILER as error:
            row.notes.append(f"{name}: {type(error).__name__} {error}")
            continue
        row.wrong += [
            f"{other} by {name} differs"
            for other, tensor in made.items()
            if not same_bits(tensor, found[other])
        ]
        if made:
            chosen[name] = function
    return chosen


def _on_streams(clock: Clock, conversion: Any, found: dict[str, Any]) -> list[str]:
    """Which of the first targets differ when a conversion runs on another stream, and is captured and replayed."""
    if not clock.is_gpu or not conversion._own:
        return []
    import torch

    own = dict(list(conversion._own.items())[:64])
    expected = {name: tensor.clone() for name, tensor in own.items()}
    wrong: list[str] = []

    def compare(how: str) -> None:
        clock.wait()
        wrong.extend(
            f"{name} {how} differs"
            for name, tensor in own.items()
            if not same_bits(tensor, expected[name])
        )
        for tensor in own.values():
            tensor.zero_()
        clock.wait()

    compare("at first")
    side = torch.cuda.Stream(clock.device)
    side.wait_stream(torch.cuda.current_stream(clock.device))
    with torch.cuda.stream(side):
        conversion()
    compare("on a stream")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        conversion()
    graph.replay()
    compare("of a graph")
    graph.replay()
    compare("of a graph that is replayed again")
    conversion()
    return wrong


def _measure_buckets(
    model: Model, module: ModuleType, config: Any, clock: Clock, way: Way
) -> Row:
    """A stream of all ranks, tensor by tensor as a trainer has them."""
    row = Row(model.name, f"{way.work}, buckets")
    size = BUCKET if clock.is_gpu else 1 << 14
    with by_torch(module):
        expected = dict(way.yielded(module, config))
    row.size = sum(tensor.nbytes for tensor in expected.values())
    if clock.is_gpu:
        size = max(size, 2 * max(tensor.nbytes for tensor in expected.values()))

    def buckets() -> Iterator[Any]:
        stream = module.BucketStream("to_hf", config, way.mesh, bucket_bytes=size)
        for name in next(iter(way.source.values())):
            for rank, tensors in way.source.items():
                yield from stream.feed(name, tensors[name], rank)
        yield from stream.close()
        row.peak = stream.most_bytes if clock.is_gpu else None

    for bucket in buckets():
        row.wrong += [
            f"{name} of a bucket differs"
            for name, tensor in bucket.tensors().items()
            if not same_bits(tensor, expected.pop(name))
        ]
    row.wrong += [f"{name} is in no bucket" for name in expected]
    row.times = clock.times(
        {"copy": copying(clock, row.size), "prepared": lambda: list(buckets())}
    )
    return row
