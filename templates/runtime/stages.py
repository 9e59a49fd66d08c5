"""Which layers and which experts a rank owns: pipeline stages as Megatron-Core counts them, and equal shares."""

from __future__ import annotations

from .errors import ConversionError


def stages(
    layers: int,
    dim: str,
    pieces: int,
    by: list[int] | None = None,
    first: int | None = None,
    last: int | None = None,
    embedding: bool = False,
    loss: bool = False,
) -> list[tuple[int, int]]:
    """The (stage, local number) of every layer; ConversionError where the stages do not partition the layers.

    `by` lists the layers of each stage; `first` and `last` fix those of the outer stages and the rest is even;
    `embedding` and `loss` count as a layer of the first and of the last stage.
    """
    counts = _counts(layers, dim, pieces, by, first, last, embedding, loss)
    if sum(counts) != layers or min(counts) < 0:
        raise ConversionError(
            f"{dim}={pieces}: the stages hold {counts} layers, expected {layers} in all"
        )
    return [
        (stage, number) for stage, count in enumerate(counts) for number in range(count)
    ]


def shares(what: str, count: int, dim: str, pieces: int) -> list[tuple[int, int]]:
    """The (rank, local number) of every value of an index that a mesh dim cuts into equal shares, in order.

    `what` is how the map writes the count. ConversionError where it does not divide.
    """
    if count % pieces:
        raise ConversionError(
            f"{what} = {count} is not a multiple of {dim}={pieces}; "
            f"choose a size of {dim} that divides it"
        )
    size = count // pieces
    return [(rank, number) for rank in range(pieces) for number in range(size)]


def _counts(
    layers: int,
    dim: str,
    pieces: int,
    by: list[int] | None,
    first: int | None,
    last: int | None,
    embedding: bool,
    loss: bool,
) -> list[int]:
    if by is not None:
        if len(by) != pieces:
            raise ConversionError(
                f"{dim}={pieces}: expected {pieces} stages, found {len(by)} in {by}"
            )
        return list(by)
    if pieces == 1:
        return [layers]
    outer = (first is not None) + (last is not None)
    if outer and (embedding or loss):
        raise ConversionError(
            f"{dim}={pieces}: uneven stages cannot count the embedding or the loss as a layer"
        )
    rest = layers - (first or 0) - (last or 0) + embedding + loss
    inner = pieces - outer
    if rest < 0 or (rest % inner if inner else rest):
        rules = {
            f"first {first}": first is not None,
            f"last {last}": last is not None,
            "the embedding counted": embedding,
            "the loss counted": loss,
        }
        given = ", ".join(rule for rule, holds in rules.items() if holds)
        raise ConversionError(
            f"{dim}={pieces}: {layers} layers{f' ({given})' if given else ''} do not divide over "
            f"{pieces} stages; choose another {dim} or uneven stages"
        )
    counts = [rest // inner] * inner if inner else []
    counts = [
        *([first] if first is not None else []),
        *counts,
        *([last] if last is not None else []),
    ]
    counts[0] -= embedding
    counts[-1] -= loss
    return counts
