"""Checks of a source checkpoint against the map: nothing missing, nothing extra, every shape as stated."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from .errors import LONGEST, ConversionError
from .grid import Counts, Piece
from .mapping import Drop, Group, Named, Place
from .patterns import Patterns
from .recipe import Copy
from .shapes import Holders
from .spelling import as_found

MOST_COMPARED = 20_000  # names, which takes less than a second
# The dtype of what is stored in the place of a tensor and is none: it can be left behind, and never be read.
NO_TENSOR = "no tensor"


class Source(NamedTuple):
    """One stored tensor of the source checkpoint; rank is None where its layout has no mesh."""

    rank: Any
    name: str

    def __str__(self) -> str:
        if self.rank is None:
            return self.name
        return f"{self.name} (rank {' '.join(f'{k}={v}' for k, v in self.rank._asdict().items())})"


def named_in(found: Mapping[Any, Mapping[str, Any]], source: Source) -> str:
    """A tensor of the source with its file, or where it is missing with the one that it should be in, or in its index."""
    tensors = found[source.rank]
    path = getattr(tensors.get(source.name, tensors), "path", None)
    return f"{path}: {source}" if path else str(source)


class Findings:
    """What the checks learn of a source: what was read, what must be equal, what is padding, what is dropped."""

    def __init__(self, found: Mapping[Any, Mapping[str, Any]]) -> None:
        self.found = found
        self.read: dict[Any, set[str]] = {rank: set() for rank in found}
        self.ties: list[tuple[Source, Source]] = []
        self.replicas: list[tuple[Source, Source]] = []
        self.paddings: list[tuple[Source, tuple[Copy, ...]]] = []
        self.drops: dict[str, int] = {}

    def nearest(self, name: str) -> str:
        """A clause about the most similar name of the source, or nothing."""
        names = {other for tensors in self.found.values() for other in tensors}
        close = _closest(name, names - {name})
        return f"; the nearest name is {close[0]}" if close else ""


class Checked(NamedTuple):
    """A group as the source spells it.

    Where that has each of its tensors once, and all in one dtype, `sources` are these, one for each piece.
    """

    group: Group
    sources: tuple[Source, ...] = ()
    dtype: Any = None


def check_sources(
    groups: Iterable[Group], side: int, holders: Holders, findings: Findings
) -> Iterator[Checked]:
    """The groups, each when all that it reads is there, once, in the shape that the statement says."""
    for group in groups:
        checked = _read_plain(group, side, holders, findings)
        if checked is None:
            group = as_found(group, side, holders, findings.found)
            _check_group(group, side, holders, findings)
            checked = Checked(group)
        yield checked


def _read_plain(
    group: Group, side: int, holders: Holders, findings: Findings
) -> Checked | None:
    """Read a group like most: nothing is padded, copied, tied, computed or wrong. None, and nothing is read, if it is not.

    This takes a fifth of the time.
    """
    named = group.right if side else group.left
    if not isinstance(named, Named):
        return None
    names, at, found, read = named.names, named.at, findings.found, findings.read
    sources: list[Source] = []
    dtype = None
    for piece, shape, padding in group.recipe.stored(side):
        name, ranks = names[piece.position], holders.at(at, piece.at)
        if len(ranks) != 1 or padding or not isinstance(name, str):
            break
        rank = ranks[0]
        tensor = found[rank].get(name)
        if tensor is None or tensor.shape != shape:
            break
        dtype = tensor.dtype if dtype is None else dtype
        if tensor.dtype != dtype or name in read[rank]:
            break
        read[rank].add(name)
        sources.append(Source(rank, name))
    else:
        if dtype != NO_TENSOR:
            return Checked(group, tuple(sources), dtype)
    for rank, name in sources:
        read[rank].discard(name)
    return None


def _check_group(group: Group, side: int, holders: Holders, findings: Findings) -> None:
    first: dict[int, Source] = {}
    for piece in group.recipe.shapes:
        if piece.side == side:
            for source in _check_piece(group, piece, holders, findings):
                one = first.setdefault(piece.position, source)
                _check_dtype(group, one, source, findings)


def _check_piece(
    group: Group, piece: Piece, holders: Holders, findings: Findings
) -> list[Source]:
    """Everything that holds the piece, under all of its names and on all ranks."""
    places = group.sides[piece.side][piece.position]
    shape = group.recipe.shapes[piece]
    padding = group.recipe.pads(piece)
    read: list[Source] = []
    every: list[Source] = []
    for place in places:
        there = [Source(rank, place.name) for rank in holders.of(place, piece.at)]
        present = [
            source for source in there if source.name in findings.found[source.rank]
        ]
        if present and len(present) < len(there):
            raise _missing(
                group, piece, next(s for s in there if s not in present), findings
            )
        for source in present:
            _check_shape(group, piece, source, shape, findings)
        read += present[:1]
        every += present
        findings.replicas += [(present[0], other) for other in present[1:]]
        findings.paddings += [(source, padding) for source in present[:1] if padding]
    # Without a shape nothing can stand in its place: a size would be measured on it.
    if not read and shape is not None and _is_absent(places, holders, findings):
        return []
    if not read:
        first = Source(holders.of(places[0], piece.at)[0], places[0].name)
        raise _missing(group, piece, first, findings)
    findings.ties += [(read[0], other) for other in read[1:]]
    return every


def _is_absent(places: tuple[Place, ...], holders: Holders, findings: Findings) -> bool:
    """Whether a tensor that has a default is there nowhere, under none of its names."""
    values = places[0].values
    return (values is not None and values.default is not None) and not any(
        place.name in findings.found[rank]
        for place in places
        for rank in holders.of(place)
    )


def _check_dtype(
    group: Group, first: Source, source: Source, findings: Findings
) -> None:
    """Shards, copies and ties of one tensor have one dtype."""
    expected = findings.found[first.rank][first.name].dtype
    have = findings.found[source.rank][source.name].dtype
    if have != expected:
        raise ConversionError(
            f"{named_in(findings.found, source)}: expected {expected} as {first} has, found {have} ({group.recipe.where})"
        )


def _check_shape(
    group: Group, piece: Piece, source: Source, shape: Counts | None, findings: Findings
) -> None:
    recipe, named = group.recipe, named_in(findings.found, source)
    have = tuple(findings.found[source.rank][source.name].shape)
    formula = recipe.tensors[piece.side][piece.position].formula
    if findings.found[source.rank][source.name].dtype == NO_TENSOR:
        raise ConversionError(
            f"{' '.join(filter(None, (named, formula)))}: expected a tensor, found something else, which is not read ({recipe.where})"
        )
    if shape is None or have != shape:
        raise ConversionError(
            f"{named} {formula}: expected {list(shape or ())}{recipe.legend()}, found {list(have)} ({recipe.where})"
        )
    if source.name in findings.read[source.rank]:
        raise ConversionError(
            f"{named}: read by two statements, the second is {recipe.where}"
        )
    findings.read[source.rank].add(source.name)


def _missing(
    group: Group, piece: Piece, source: Source, findings: Findings
) -> ConversionError:
    tensor = group.recipe.tensors[piece.side][piece.position]
    said = f" as {tensor.formula}" if tensor.formula else ""
    others = [place.spellings for place in group.sides[piece.side][piece.position]]
    if others[0]:
        said += f", also under {' or '.join(others[0])}"
    shape = group.recipe.shapes[piece]
    if shape is not None:
        said += f", expected {list(shape)}{group.recipe.legend()}"
    return ConversionError(
        f"{named_in(findings.found, source)}: missing; {group.recipe.where} reads it{said}{findings.nearest(source.name)}"
    )


def unread(findings: Findings) -> list[Source]:
    """The source tensors that no statement has read so far."""
    return [
        Source(rank, tensor)
        for rank, tensors in findings.found.items()
        if len(findings.read[rank]) < len(tensors)
        for tensor in tensors
        if tensor not in findings.read[rank]
    ]


def take_drops(
    tensors: list[Source], drops: list[Drop], findings: Findings
) -> list[Source]:
    """The tensors that no drop takes; how many each takes is counted. Of several drops the first takes a tensor."""
    patterns = Patterns((n, drop.place) for n, drop in enumerate(drops))
    findings.drops = {drop.where: 0 for drop in drops}
    kept = []
    for source in tensors:
        taking = patterns.of(source.rank, source.name)
        if taking:
            findings.drops[drops[taking[0]].where] += 1
        else:
            kept.append(source)
    return kept


def leftover(
    name: str, groups: list[Group], side: int, tensors: list[Source], named: str = ""
) -> ConversionError:
    """The error for source tensors that nothing reads; `named` says more of the first than its name."""
    others = f" (and {len(tensors) - 1} more tensors)" if len(tensors) > 1 else ""
    return ConversionError(
        f"{named or tensors[0]}: no statement of {name} reads it{others}{_nearest(tensors[0].name, groups, side)}; "
        "a `drop` in the map leaves a tensor behind"
    )


def _closest(name: str, names: Collection[str]) -> list[str]:
    """The most similar of some names, if one is; of very many, among those that would stand next to it in a list."""
    if len(names) > MOST_COMPARED:
        names = sorted(names)
        at = bisect_left(names, name)
        half = MOST_COMPARED // 2
        names = names[max(at - half, 0) : at + half]
    return get_close_matches(name, names, n=1, cutoff=0.8)


def _nearest(name: str, groups: list[Group], side: int) -> str:
    """A clause about the statement that reads the most similar name, or nothing."""
    known = {
        name: group
        for group in groups
        for places in group.sides[side]
        for place in places
        for name in place.names
    }
    # Of a name of megabytes every character would be listed.
    known = known if len(name) < LONGEST else {}
    close = _closest(name, known)
    return (
        f"; the nearest name is {close[0]} ({known[close[0]].recipe.where})"
        if close
        else ""
    )
