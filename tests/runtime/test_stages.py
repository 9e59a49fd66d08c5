"""Pipeline stages against the closed forms of Megatron-Core's layer offsets, over every small configuration."""

from __future__ import annotations

from itertools import product

import pytest
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.stages import shares, stages


def offset(
    layers: int,
    pieces: int,
    chunks: int,
    first: int | None,
    last: int | None,
    embedding: bool,
    loss: bool,
    stage: int,
    chunk: int,
) -> int:
    """The first layer of a chunk of a stage."""
    if pieces == 1:
        return chunk * (layers // chunks)
    if first is not None or last is not None:
        f, z = first or 0, last or 0
        inner = pieces - (first is not None) - (last is not None)
        middle = (layers - f - z) // chunks
        each = middle // inner if inner else 0
        before = f // chunks + (stage - (first is not None)) * each if stage else 0
        return chunk * (middle + f // chunks + z // chunks) + before
    total = layers + embedding + loss
    start = chunk * (total // chunks) + stage * (total // pieces // chunks)
    return start - (embedding and (stage, chunk) != (0, 0))


def test_every_small_configuration() -> None:
    accepted = 0
    ends = (None, 1, 2, 3, 4)
    flags = (False, True)
    for layers, pieces, chunks, first, last, embedding, loss in product(
        range(1, 13), range(1, 5), (1, 2, 3), ends, ends, flags, flags
    ):
        given = {"first": first, "last": last, "virtual": chunks}
        counted = {"embedding": embedding, "loss": loss}
        try:
            found = stages(layers, "pp", pieces, **given, **counted)
        except ConversionError:
            continue
        accepted += 1
        assert len(found) == layers and len(set(found)) == layers
        for stage in range(pieces if pieces > 1 else 0):
            own = [i for i, (at, _) in enumerate(found) if at == stage]
            assert [found[i][1] for i in own] == list(range(len(own)))
            starts = [
                offset(layers, pieces, chunks, first, last, embedding, loss, stage, c)
                for c in range(chunks)
            ]
            runs = [i for i in own if i == 0 or i - 1 not in own]
            assert set(runs) <= set(starts), (layers, pieces, given, counted)
    assert accepted > 400


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"virtual": 3},
            "pp=2: 8 layers do not divide over 2 stages of 3 virtual ones; choose another pp or uneven stages",
        ),
        (
            {"virtual": 2, "first": 3},
            "pp=2: a stage of 3 layers does not divide into 2 virtual stages",
        ),
        ({"virtual": 0}, "pp=2: expected 1 virtual stage or more, found 0"),
        (
            {"by": [4, 4], "virtual": 2},
            "pp=2: expected 2 stages of 2 virtual ones, found 2 in [4, 4]",
        ),
        ({"by": [4, "4"]}, "pp=2: expected numbers of layers, found '4' in [4, '4']"),
        ({"by": [4, 5]}, "pp=2: the stages hold [4, 5] layers, expected 8 in all"),
    ],
)
def test_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(ConversionError) as error:
        stages(8, "pp", 2, **given)  # type: ignore[arg-type]
    assert str(error.value) == message


def test_shares_are_contiguous() -> None:
    assert shares("X", 6, "ep", 3) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    with pytest.raises(ConversionError, match="X = 6 is not a multiple of ep=4"):
        shares("X", 6, "ep", 4)
