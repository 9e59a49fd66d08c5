"""The stream: tensors in, one by one and in any order; out comes each target as soon as all that it needs is there.

A statement is converted for one value of its loops at a time, so nothing waits for another layer or expert. What waits
is held as it was given, uncopied.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .awaiting import Awaited, read_by
from .batches import make_tensors
from .checks import Checked, Findings, Source, check_sources, leftover
from .errors import ConversionError
from .layouts import Converter
from .making import Out
from .mapping import Drop, Group, Item, Make, Tail
from .memory import check_made_values, check_ties, one_rank
from .patterns import Patterns
from .plan import made_pairs
from .shapes import Recipes, Shapes
from .spelling import statements
from .tails import Tails
from .transfers import Transfer, Transfers
from .variants import detected

if TYPE_CHECKING:
    from torch import Tensor

NamedTensor: TypeAlias = "tuple[str, Tensor]"


class Feeding:
    """A conversion whose source comes tensor by tensor. Nothing is shared between streams.

    `pending` is the bytes of the tensors that wait, `most_pending` the most that they have been.
    """

    def __init__(
        self,
        converter: Converter,
        to: str,
        config: Any,
        mesh: Any,
        rank: Any,
        out: Out | None,
        max_pending: int | None,
        allow_narrowing: bool,
    ) -> None:
        self._converter, self._mesh = converter, mesh
        self._target, self._source = converter.side(to), 1 - converter.side(to)
        layouts = converter.left, converter.right
        self._rank = one_rank(rank, mesh) if layouts[self._target].file else None
        self._out, self._max_pending = out, max_pending
        self._allow_narrowing = allow_narrowing
        self._found: dict[Any, dict[str, Tensor]] = {
            rank: {} for rank in converter.ranks(self._source, mesh)
        }
        prefix = layouts[self._source].prefixes[0]
        self._shapes = Shapes(self._source, self._found, prefix)
        self._config, _ = detected(converter, self._shapes, config, mesh, prefix)
        self._begin(self._statements(self._shapes))
        self.pending = self.most_pending = 0
        self._seen: set[Source] = set()
        self._waiting: dict[int, list[Source]] = {}
        self._spent: list[Source] = []  # what the group that was asked for last reads
        self._ready = deque[int]()

    def _begin(self, items: list[Item]) -> None:
        side, target = self._source, self._target
        self._awaited = Awaited(read_by(items, side), side, self._rank, self._found)
        self._made = [i for i in items if isinstance(i, Make) and i.side == target]
        drops = [i for i in items if isinstance(i, Drop) and i.side == side]
        self._drops = Patterns((n, drop.place) for n, drop in enumerate(drops))
        shapes = Shapes(side, self._found)  # names have their prefix here
        recipes = Recipes(self._config, self._mesh, shapes)
        ranks = self._converter.ranks(target, self._mesh)
        self._tails = Tails(items, target, ranks, recipes)
        self._by_tail = {n: i for n, i in enumerate(items) if isinstance(i, Tail)}

    def _fed(self, name: str, tensor: Tensor | Sequence[Tensor], rank: Any) -> None:
        """Take what is given to `feed`."""
        for source, one in self._given(name, tensor, rank):
            self._take(source, one)
        self.most_pending = max(self.most_pending, self.pending)
        if self._max_pending is not None:
            self._check_pending(self._max_pending)

    def _closed(self) -> None:
        """Take it that no more is given."""
        missing: list[Source] = []
        for number in self._awaited.open_numbers():
            lacks = self._awaited.lacks(number, at_end=True)
            if not lacks:
                self._finish(number)
            elif number in self._waiting or not self._awaited.optional(number):
                missing += lacks
        if missing:
            others = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ConversionError(
                f"{missing[0]}: missing when the stream was closed{others}; {self.pending} bytes wait for it"
            )

    def _given(
        self, name: str, tensor: Tensor | Sequence[Tensor], rank: Any
    ) -> list[tuple[Source, Tensor]]:
        """The tensors that are given, with where they come from; ValueError where that is not said of each."""
        several = isinstance(tensor, (list, tuple))
        tensors: list[Any] = list(tensor) if several else [tensor]
        if rank is None and len(self._found) == 1:
            ranks = list(self._found)
        else:
            ranks = rank if isinstance(rank, list) else [rank]
        if len(ranks) != len(tensors) or any(one not in self._found for one in ranks):
            raise ValueError(
                f"{name}: expected a tensor and its rank, or as many of both, found {len(tensors)} and {rank!r}; "
                f"the source has {len(self._found)} ranks"
            )
        return [(Source(one, name), given) for one, given in zip(ranks, tensors)]

    def _take(self, source: Source, tensor: Tensor) -> None:
        if source in self._seen:
            raise ConversionError(f"{source}: expected once, found again")
        held = self._found[source.rank]
        held[source.name] = tensor
        number = self._number(source)
        self._seen.add(source)
        if number is None or not self._awaited.is_open(number):
            del held[source.name]
            return
        self.pending += tensor.nbytes
        self._waiting.setdefault(number, []).append(source)
        if self._awaited.lacks(number, at_end=False):
            return
        if self._awaited.is_unmeasured(number):
            self._measure(number)
            if self._awaited.lacks(number, at_end=False):
                return
        self._finish(number)

    def _measure(self, number: int) -> None:
        """Take the sizes of a statement from its tensors, since nothing else says them."""
        own: dict[Any, dict[str, Tensor]] = {rank: {} for rank in self._found}
        for rank, name in self._waiting[number]:
            own[rank][name] = self._found[rank][name]
        items = self._statements(Shapes(self._source, own, self._shapes.prefix))
        self._awaited.measure(number, read_by(items, self._source))

    def _number(self, source: Source) -> int | None:
        """What reads a tensor; None where it is dropped, ConversionError where nothing does."""
        number = self._awaited.number_of(source)
        if number is not None or self._drops.of(*source):
            return number
        if not self._tails.take(source):
            del self._found[source.rank][source.name]
            groups = self._awaited.groups()
            raise leftover(self._converter.name, groups, self._source, [source])
        for tail in self._by_tail.values():
            self._awaited.add(self._tails.groups_of(tail))
        return self._awaited.number_of(source)

    def _finish(self, number: int) -> None:
        self._awaited.finish(number)
        self._ready.append(number)

    def _check_pending(self, most: int) -> None:
        """ConversionError where the tensors that wait for others are too many."""
        waiting = [n for n in self._waiting if self._awaited.is_open(n)]
        sources = [source for number in waiting for source in self._waiting[number]]
        size = sum(self._found[source.rank][source.name].nbytes for source in sources)
        if size > most:
            lacks = self._awaited.lacks(waiting[0], at_end=False)
            raise ConversionError(
                f"{sources[0]}: waits for {lacks[0]}; {len(sources)} tensors wait with {size} bytes, "
                f"more than the {most} of max_pending"
            )

    def _next_group(self) -> list[Transfer] | None:
        """The targets of the next group that is complete, first of all of those that need no source; None: there is none.

        What the group before has read is given up.
        """
        self._give_up(self._spent)
        if self._made:
            return self._targets_of(Checked(self._made.pop(0).group))
        if not self._ready:
            return None
        transfers = self._converted(self._ready[0])  # where that is refused, it stays
        self._spent = self._waiting.pop(self._ready.popleft(), [])
        return transfers

    def _give_up(self, sources: list[Source]) -> None:
        """Let go of tensors that are not read any more."""
        while sources:
            rank, name = sources.pop()
            self.pending -= self._found[rank].pop(name).nbytes

    def _converted(self, number: int) -> list[Transfer]:
        """The targets of a statement whose sources are there, once these are checked."""
        item = self._awaited.items[number]
        group = item.group if isinstance(item, Make) else item
        findings = Findings(self._found)
        holders = self._awaited.holders
        (checked,) = check_sources([group], self._source, holders, findings)
        check_ties(self._found, findings.ties)
        if isinstance(item, Group):
            return self._targets_of(checked)
        for pair in made_pairs(self._found, item, checked.group, self._transfers()):
            check_made_values(self._found, *pair)
        return []

    def _targets_of(self, checked: Checked) -> list[Transfer]:
        ((_, transfers),) = self._transfers().of_ranks([checked], [self._rank])
        return transfers

    def _tensors_of(self, transfers: list[Transfer]) -> Iterator[NamedTensor]:
        """The targets of a group, in order."""
        return make_tensors(transfers, self._found, self._out, self._allow_narrowing)

    def _transfers(self) -> Transfers:
        holders = self._awaited.holders
        return Transfers(
            self._converter, self._target, self._config, self._found, holders
        )

    def _statements(self, shapes: Shapes) -> list[Item]:
        """The statements of the map, with the sizes that these shapes say."""
        return list(statements(self._converter, self._config, self._mesh, shapes))


class TensorStream(Feeding):
    """A stream that yields the targets one by one."""

    def feed(
        self, name: str, tensor: Tensor | Sequence[Tensor], rank: Any = None
    ) -> Iterator[NamedTensor]:
        """Take a tensor of the source; the targets that are complete with it, each made when it is asked for.

        Where the source has several ranks, `rank` says whose it is; it may be a list, with a list of their tensors.
        Of copies that several ranks hold one has to come, and they are not compared. Raises ConversionError for a
        tensor that nothing reads, that comes again, that is not as the map says, or where more than `max_pending`
        bytes wait.
        """
        self._fed(name, tensor, rank)
        return self._outputs()

    def close(self) -> Iterator[NamedTensor]:
        """End the stream; the targets that did not need all that could have come, such as one with a default.

        Raises ConversionError where a target misses something.
        """
        self._closed()
        return self._outputs()

    def _outputs(self) -> Iterator[NamedTensor]:
        while (transfers := self._next_group()) is not None:
            yield from self._tensors_of(transfers)
