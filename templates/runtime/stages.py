"""Which layers a stage owns, and which values of an index a rank: stages as Megatron-Core counts them, equal shares."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from .errors import ConversionError
from .pipeline import is_layout, layout_counts

MOST_NUMBERED = 2**16  # layers, or values of an index: more than any model has


def chunks(
    layers: int,
    dim: str,
    pieces: int,
    by: list[Any] | str | None = None,
    first: int | None = None,
    last: int | None = None,
    virtual: int | None = None,
    embedding: bool = False,
    loss: bool = False,
) -> list[int]:
    """How many layers each chunk holds, in order; chunk c is on stage c % pieces. Without `virtual` a stage has one.

    `by` lists the layers of each chunk, or is a pipeline layout; `first` and `last` fix those of the outer stages and
    the rest is even; `embedding` and `loss` count as a layer of the first and of the last stage. ConversionError where
    the chunks do not partition the layers.
    """
    rounds = 1 if virtual is None else virtual
    if rounds < 1:
        raise ConversionError(
            f"{dim}={pieces}: expected 1 virtual stage or more, found {rounds}"
        )
    _check_count(f"{dim}={pieces}: layers and stages", max(layers, pieces * rounds))
    if by is not None and is_layout(by):
        rules = (first is not None, last is not None, embedding, loss)
        counts = layout_counts(by, dim, pieces, virtual, any(rules))
    elif by is not None:
        counts = _listed(by, dim, pieces, rounds)
    elif pieces == 1:
        counts = [layers]
    elif first is None and last is None:
        counts = _even(layers, dim, pieces, rounds, embedding, loss)
    else:
        counts = _uneven(layers, dim, pieces, first, last, embedding or loss)
        counts = _rounds(counts, dim, pieces, rounds)
    if sum(counts) != layers or min(counts) < 0:
        raise ConversionError(
            f"{dim}={pieces}: the stages hold {counts} layers, expected {layers} in all"
        )
    return counts


def numbered(counts: list[int], pieces: int) -> list[tuple[int, int]]:
    """The (stage, local number) of every layer; a stage numbers its layers on from chunk to chunk."""
    found, held = [], [0] * pieces
    for chunk, count in enumerate(counts):
        stage = chunk % pieces
        found += [(stage, held[stage] + number) for number in range(count)]
        held[stage] += count
    return found


def chunk_layers(counts: list[int], pieces: int) -> dict[tuple[int, int], range]:
    """The layers that each chunk of a stage holds, by (stage, number of the chunk there)."""
    ends = list(accumulate(counts, initial=0))
    return {
        (chunk % pieces, chunk // pieces): range(ends[chunk], ends[chunk + 1])
        for chunk in range(len(counts))
    }


def shares(what: str, count: int, dim: str, pieces: int) -> list[tuple[int, int]]:
    """The (rank, local number) of every value of an index that a mesh dim cuts into equal shares, in order.

    `what` is how the map writes the count. ConversionError where it does not divide.
    """
    if count % pieces:
        raise ConversionError(
            f"{what} = {count} is not a multiple of {dim}={pieces}; "
            f"choose a size of {dim} that divides it"
        )
    _check_count(what, count)
    size = count // pieces
    return [(rank, number) for rank in range(pieces) for number in range(size)]


def _check_count(what: str, count: int) -> None:
    if count > MOST_NUMBERED:
        raise ConversionError(
            f"{what}: expected at most {MOST_NUMBERED}, found {count}"
        )


def _listed(by: Any, dim: str, pieces: int, rounds: int) -> list[int]:
    """The layers of each chunk as they were given."""
    if not isinstance(by, list):
        raise ConversionError(f"{dim}={pieces}: expected a list, found {by!r}")
    if len(by) != pieces * rounds:
        raise ConversionError(
            f"{dim}={pieces}: expected {_spelled(pieces, rounds)}, found {len(by)} in {by}"
        )
    odd = [count for count in by if type(count) is not int]
    if odd:
        raise ConversionError(
            f"{dim}={pieces}: expected numbers of layers, found {odd[0]!r} in {by}"
        )
    return list(by)


def _even(
    layers: int, dim: str, pieces: int, rounds: int, embedding: bool, loss: bool
) -> list[int]:
    """The same number for every chunk; what is counted as a layer is taken off its end again."""
    total, chunks = layers + embedding + loss, pieces * rounds
    if total % chunks:
        rules = [("the embedding counted", embedding), ("the loss counted", loss)]
        given = ", ".join(rule for rule, holds in rules if holds)
        raise _indivisible(layers, dim, pieces, rounds, given)
    counts = [total // chunks] * chunks
    counts[0] -= embedding
    counts[-1] -= loss
    return counts


def _uneven(
    layers: int,
    dim: str,
    pieces: int,
    first: int | None,
    last: int | None,
    counted: bool,
) -> list[int]:
    """The layers of each stage where those of the outer ones are given."""
    if counted:
        raise ConversionError(
            f"{dim}={pieces}: uneven stages cannot count the embedding or the loss as a layer"
        )
    ends = [
        f"{word} {count}"
        for word, count in (("first", first), ("last", last))
        if count is not None
    ]
    rest, inner = layers - (first or 0) - (last or 0), pieces - len(ends)
    if rest < 0 or (rest % inner if inner else rest):
        raise _indivisible(layers, dim, pieces, 1, ", ".join(ends))
    middle = [rest // inner] * inner if inner else []
    return [
        *([first] if first is not None else []),
        *middle,
        *([last] if last is not None else []),
    ]


def _rounds(counts: list[int], dim: str, pieces: int, rounds: int) -> list[int]:
    """The layers of each chunk, where every stage deals its own evenly over its chunks."""
    odd = [count for count in counts if count % rounds]
    if odd:
        raise ConversionError(
            f"{dim}={pieces}: a stage of {odd[0]} layers does not divide into {rounds} virtual stages"
        )
    return [count // rounds for count in counts] * rounds


def _indivisible(
    layers: int, dim: str, pieces: int, rounds: int, given: str
) -> ConversionError:
    return ConversionError(
        f"{dim}={pieces}: {layers} layers{f' ({given})' if given else ''} do not divide over "
        f"{_spelled(pieces, rounds)}; choose another {dim} or uneven stages"
    )


def _spelled(pieces: int, rounds: int) -> str:
    return f"{pieces} stages{f' of {rounds} virtual ones' if rounds > 1 else ''}"
