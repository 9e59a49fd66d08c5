"""Prepared conversions: checked and planned once, made as often as the source has other numbers."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter, eq
from typing import TYPE_CHECKING, Any, TypeAlias

from .batches import Batch
from .checks import Source
from .collecting import without_collecting
from .errors import ConversionError
from .layouts import Converter
from .making import Out, Tensors, new_target, sources_of, view_of
from .memory import by_rank, one_rank, plan_tensors

if TYPE_CHECKING:
    from torch import Tensor


class Prepared:
    """A conversion to make again and again, as of a model after every step of its training: each call makes it.

    `tensors` are its targets by name: pieces of the source itself where they can be, the rest in memory that a call
    fills anew. What is compared once, such as tied tensors, has been while it was prepared. Numbers that become infinite
    are found by `check` where kernels compute them, and refused by the call where torch does.
    """

    tensors: dict[str, Tensor]
    _found: Tensors
    _sources: list[Tensor]  # of these
    _lay: list[list[Any]]  # where they were when the table was built
    _batch: Batch

    def __init__(
        self,
        converter: Converter,
        to: str,
        tensors: Mapping[Any, Any],
        config: Any,
        mesh: Any,
        rank: Any,
        out: Out | None,
        allow_narrowing: bool,
    ) -> None:
        self._ranks = converter.ranks(1 - converter.side(to), mesh)
        self._allow_narrowing = allow_narrowing
        found = by_rank(tensors, self._ranks)
        plan = plan_tensors(converter, to, found, config, mesh)
        target = (converter.left, converter.right)[converter.side(to)]
        self._transfers = plan.transfers(one_rank(rank, mesh) if target.file else None)
        self._own: dict[str, Tensor] = {}
        self._captured: list[Batch] = []
        with without_collecting():
            for transfer in self._transfers:
                sources = sources_of(transfer, found)
                if out is not None or view_of(transfer, sources) is None:
                    self._own[transfer.name] = new_target(transfer, sources, out)
            self._kinds = _kinds(found)
            self._hold(found)

    @property
    def launches(self) -> int:
        """How many launches of kernels a call takes; none where torch makes all."""
        return self._batch.launches

    def __call__(self, tensors: Mapping[Any, Any] | None = None) -> dict[str, Tensor]:
        """The targets, with the values that the source has now. What kernels make is not waited for.

        `tensors` are held instead of those it was prepared for; ConversionError where they are not like these. While a
        CUDA graph is captured nothing may have moved since the last call.
        """
        found = self._found if tensors is None else by_rank(tensors, self._ranks)
        every = self._sources if tensors is None else self._in_order(found)
        if every is None or not _lie_so(every, self._lay):
            self._hold_alike(found)
        elif tensors is not None:
            self._sources, self._found = every, _copied(found)
        if self._batch.is_captured:
            self._captured.append(self._batch)  # the graph reads its table
        self._batch.make(self._found)
        return dict(self.tensors)

    def check(self) -> None:
        """ConversionError where a finite number has become infinite, in the last call, unless that is allowed; waits for the GPU."""
        infinite = [] if self._allow_narrowing else self._batch.infinite()
        if infinite:
            others = f" (and in {len(infinite) - 1} more)" if len(infinite) > 1 else ""
            raise ConversionError(
                f"{infinite[0]}: a number of the source has become infinite{others}; allow_narrowing lets it"
            )

    def _hold(self, found: Tensors) -> None:
        """Take the memory of these tensors as the source."""
        self._found = _copied(found)
        self._sources = [found[rank][name] for rank, name in self._kinds]
        self._lay = _lie(self._sources)
        self._batch = Batch(self._allow_narrowing, later=True)
        self.tensors = {
            transfer.name: self._target(transfer) for transfer in self._transfers
        }
        self._batch.get_ready()

    def _target(self, transfer: Any) -> Tensor:
        """A view of the source, or memory that is filled."""
        target = self._own.get(transfer.name)
        if target is None:
            return self._batch.add(transfer, self._found, None)
        self._batch.fill(transfer, self._found, target)
        return target

    def _in_order(self, found: Tensors) -> list[Tensor] | None:
        """Tensors in the order of those held; None where names differ."""
        if sum(map(len, found.values())) != len(self._kinds):
            return None
        try:
            return [found[rank][name] for rank, name in self._kinds]
        except KeyError:
            return None

    def _hold_alike(self, found: Tensors) -> None:
        """Take other memory as the source; ConversionError where it is not of the same shapes, dtypes and devices."""
        kinds = _kinds(found)
        for source in [*self._kinds, *kinds]:
            expected, there = self._kinds.get(source), kinds.get(source)
            if expected != there:
                raise ConversionError(
                    f"{source}: expected {_kind_text(expected)}, as it was prepared for, found {_kind_text(there)}"
                )
        self._hold(found)


# What a tensor has to be like: its dtype, shape and device.
Kind: TypeAlias = "tuple[Any, tuple[int, ...], Any]"


def _copied(found: Tensors) -> dict[Any, dict[str, Tensor]]:
    return {rank: dict(named) for rank, named in found.items()}


def _lie(tensors: list[Tensor]) -> list[list[Any]]:
    """Where tensors lie in memory and how, which `_lie_so` compares with it."""
    return [list(map(ask, tensors)) for ask in _asked()]


def _lie_so(tensors: list[Tensor], lay: list[list[Any]]) -> bool:
    """Whether they still do: 18,000 of them take 4 ms, since no list is made of what they say."""
    return all(
        all(map(eq, map(ask, tensors), said)) for ask, said in zip(_asked(), lay)
    )


def _asked() -> tuple[Any, ...]:
    from torch import Tensor

    return Tensor.data_ptr, Tensor.stride, Tensor.numel, attrgetter("dtype")


def _kinds(found: Tensors) -> dict[Source, Kind]:
    return {
        Source(rank, name): (tensor.dtype, tuple(tensor.shape), tensor.device)
        for rank, named in found.items()
        for name, tensor in named.items()
    }


def _kind_text(kind: Kind | None) -> str:
    return f"{kind[0]} {list(kind[1])} on {kind[2]}" if kind else "nothing"
