"""Tensors of a layout that nobody has written: what a directory in one layout would be in the other one.

They are planned as a conversion is, and put together of what is stored, stretch by stretch, when they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .checks import Source
from .errors import ConversionError
from .layouts import Converter
from .output_files import Blocks, OutputTensor, output_tensor
from .plan import Plan, make_plan
from .recipe import Copy, inverse
from .scatter import Pieces
from .sizes import size_text
from .sources import SourceReader
from .stored import StoredTensor
from .stream import CHUNK, Assembler
from .transfers import Transfer

MOST_BETWEEN = 1 << 28  # bytes that are put together at once


class Between:
    """The tensors that `plan` leads to; `back` is the plan of the way back from there."""

    def __init__(
        self, converter: Converter, plan: Plan, choices: Mapping[str, Any]
    ) -> None:
        there = (converter.left, converter.right)[plan.target]
        here = (converter.right, converter.left)[plan.target]
        self._made: dict[int, OutputTensor] = {}  # by the id of what is in `found`
        self.found: dict[Any, dict[str, StoredTensor]] = {}
        for rank in converter.ranks(plan.target, plan.mesh):
            self.found[rank] = dict(self._add(plan.transfers(rank)))
        document = json.loads(json.dumps(there.write(plan.config)))
        config = there.read(document, **choices)
        self.back = make_plan(converter, here.name, config, plan.mesh, self.found)
        self._ways: dict[int, dict[Copy, int]] = {}

    def _add(self, transfers: Iterable[Transfer]) -> Iterator[tuple[str, StoredTensor]]:
        for tensor in planned_tensors(transfers):
            shape, name = tensor.transfer.shape, tensor.transfer.name
            stored = StoredTensor(tensor.dtype, shape, "", 0, tensor.size)
            self._made[id(stored)] = tensor
            yield name, stored

    def tensor(self, source: Source) -> OutputTensor:
        """How a tensor is put together."""
        return self.made(self.found[source.rank][source.name])

    def made(self, tensor: StoredTensor) -> OutputTensor:
        """How a tensor of `found` is put together."""
        return self._made[id(tensor)]

    @property
    def tensors(self) -> Iterable[OutputTensor]:
        """All that is between."""
        return self._made.values()

    def sources(self, transfer: Transfer) -> Iterator[Transfer]:
        """How the sources of a target of `back` are made, but for those that are absent and have a default."""
        for source in transfer.sources:
            if source.name in self.found[source.rank]:
                yield self.tensor(source).transfer

    def origin(self, transfer: Transfer) -> Source | None:
        """The stored tensor whose elements come back as those of a target of `back`, each at its place.

        None where there is none, or more than one.
        """
        found = set()
        for copy in transfer.copies:
            source = transfer.sources[copy.source]
            if source.name not in self.found[source.rank]:
                return None
            made = self.tensor(source).transfer
            number = self._way(made).get(copy._replace(source=0))
            found.add(None if number is None else made.sources[number])
        return found.pop() if len(found) == 1 and not transfer.zeros else None

    def _way(self, made: Transfer) -> Mapping[Copy, int]:
        """By the copy that leads back, the number of the source that a copy comes from."""
        way = self._ways.get(id(made.copies))
        if way is None:
            way = {inverse(copy): copy.source for copy in made.copies}
            self._ways[id(made.copies)] = way  # which the plan keeps
        return way


def planned_tensors(transfers: Iterable[Transfer]) -> Iterator[OutputTensor]:
    """Transfers as they are put together, each from byte 0 on."""
    known: dict[int, Blocks] = {}
    for transfer in transfers:
        yield output_tensor(transfer, str(transfer.dtype), 0, known)


class BetweenReader(SourceReader):
    """Reads tensors that are between as if they were stored; `assembler` puts them together."""

    def __init__(self, between: Between, assembler: Assembler) -> None:
        super().__init__()
        self._between, self._assembler = between, assembler

    def read_at(self, tensor: StoredTensor, position: int, view: memoryview) -> None:
        """Fill a view with the bytes of a tensor from a position on."""
        made = self._between.made(tensor)
        for low in range(0, len(view), CHUNK):
            part = view[low : low + CHUNK]
            self._assembler.fill_part(made, position + low, part)

    def scatter(self, tensor: StoredTensor, begin: int, reads: list[Pieces]) -> None:
        """Fill pieces of buffers, one after the other, with the bytes of a tensor from `begin` on."""
        for view in (view for pieces in reads for view in pieces.views):
            self.read_at(tensor, begin, view)
            begin += len(view)

    def memory(self, tensor: StoredTensor, begin: int, end: int) -> memoryview:
        """Some bytes of a tensor, put together at once; ConversionError where that takes too much memory."""
        if end - begin > MOST_BETWEEN:
            name = self._between.made(tensor).transfer.name
            raise ConversionError(
                f"{name}: expected at most {size_text(MOST_BETWEEN)} of it at once, found {size_text(end - begin)}; "
                "convert the directory, and take what is written"
            )
        found = memoryview(bytearray(end - begin))
        self.read_at(tensor, begin, found)
        return found
