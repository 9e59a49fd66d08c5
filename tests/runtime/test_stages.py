"""Pipeline stages against the closed forms of Megatron-Core's layer offsets, over every small configuration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from mapc.templates.runtime.errors import ConversionError
from mapc.templates.runtime.stages import chunk_layers, chunks, numbered, shares


@dataclass(frozen=True)
class Setting:
    """What says how Megatron-Core deals its layers out."""

    layers: int
    pieces: int
    rounds: int
    first: int | None
    last: int | None
    embedding: bool
    loss: bool

    @property
    def uneven(self) -> bool:
        return self.first is not None or self.last is not None

    def built(self, stage: int, chunk: int) -> tuple[int, int]:
        """The first layer of a chunk of a stage, and how many it builds."""
        f, z = self.first or 0, self.last or 0
        if self.uneven:
            inner = self.pieces - (self.first is not None) - (self.last is not None)
            middle = (self.layers - f - z) // self.rounds
            each = middle // inner if inner else 0
            before = f // self.rounds + (stage - (self.first is not None)) * each
            start = chunk * (middle + f // self.rounds + z // self.rounds)
            start += before if stage else 0
            if stage == 0 and self.first is not None:
                return start, f // self.rounds
            if stage == self.pieces - 1 and self.last is not None:
                return start, z // self.rounds
            return start, each
        total = self.layers + self.embedding + self.loss
        each = total // self.pieces // self.rounds
        start = chunk * (total // self.rounds) + stage * each
        ends = [(0, 0), (self.pieces - 1, self.rounds - 1)]
        counted = self.embedding and (stage, chunk) == ends[0]
        counted += self.loss and (stage, chunk) == ends[1]
        start -= self.embedding and (stage, chunk) != ends[0]
        return start, each - counted

    def partition(self) -> dict[tuple[int, int], range] | None:
        """The layers of all chunks; None where they are not all layers, each once and in order."""
        if self.pieces == 1:
            return {(0, 0): range(self.layers)}
        order = [(p, c) for c in range(self.rounds) for p in range(self.pieces)]
        built = {at: self.built(*at) for at in order}
        own = {at: range(start, start + n) for at, (start, n) in built.items()}
        held = [i for at in order for i in own[at]]
        negative = any(n < 0 for _, n in built.values())
        return None if held != list(range(self.layers)) or negative else own


def settings() -> Iterator[Setting]:
    ends, flags = (None, 0, 1, 2, 3, 4), (False, True)
    sizes = product(range(1, 13), range(1, 5), (1, 2, 3))
    for at in product(sizes, ends, ends, flags, flags):
        yield Setting(*at[0], *at[1:])


def test_every_small_configuration() -> None:
    """A setting is accepted where its chunks partition the layers, and they are those of Megatron-Core.

    It refuses itself to count the embedding or the loss beside uneven stages.
    """
    kinds: Counter[str] = Counter()
    for one in settings():
        expected, found = one.partition(), accepted(one)
        if one.uneven and (one.embedding or one.loss) and one.pieces > 1:
            kinds["counted beside uneven stages"] += 1
            assert found is None
            continue
        kinds["no partition" if expected is None else "accepted"] += 1
        assert (found is None) == (expected is None), one
        if found is not None and expected is not None:
            own = {at: layers for at, layers in expected.items() if layers}
            assert {at: layers for at, layers in found.items() if layers} == own
    assert kinds == {
        "accepted": 6040,
        "no partition": 3356,
        "counted beside uneven stages": 11340,
    }


def accepted(one: Setting) -> dict[tuple[int, int], range] | None:
    """The layers of all chunks, where the setting is not refused; a stage numbers them on from chunk to chunk."""
    words: dict[str, Any] = {"first": one.first, "last": one.last}
    words |= {"embedding": one.embedding, "loss": one.loss, "virtual": one.rounds}
    try:
        counts = chunks(one.layers, "pp", one.pieces, **words)
    except ConversionError:
        return None
    found, layers = chunk_layers(counts, one.pieces), numbered(counts, one.pieces)
    for stage in range(one.pieces):
        own = [i for at in sorted(found) if at[0] == stage for i in found[at]]
        assert [layers[i] for i in own] == [(stage, n) for n in range(len(own))]
    return found


def test_stages_that_share_layers() -> None:
    """Megatron-Core builds this model, with 12 of its 61 layers."""
    assert Setting(61, 2, 1, 6, 6, False, False).partition() is None
    with pytest.raises(ConversionError) as error:
        chunks(61, "pp", 2, first=6, last=6)
    assert str(error.value) == (
        "pp=2: 61 layers (first 6, last 6) do not divide over 2 stages; choose another pp or uneven stages"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"by": "Ettt|tttL|"},
            "pp=2: the layout 'Ettt|tttL|' has 3 stages, expected a multiple of 2",
        ),
        (
            {"by": "Ettt|tttt|tL|", "virtual": 1},
            "pp=2: the layout 'Ettt|tttt|tL|' has 4 stages, expected 2",
        ),
        (
            {"by": "tttt|ttttL"},
            "pp=2: the layout 'tttt|ttttL': expected the first stage to begin with the one embedding",
        ),
        (
            {"by": "Ettt|Lttttt"},
            "pp=2: the layout 'Ettt|Lttttt': expected the last stage to end with the one loss",
        ),
        (
            {"by": "E|tttt|ttttm|L"},
            (
                "pp=2: the layout 'E|tttt|ttttm|L': expected mtp behind the layers of the last stage, "
                "where this map has it"
            ),
        ),
        ({"by": "Et|ttL"}, "pp=2: the stages hold [1, 2] layers, expected 8 in all"),
        (
            {"by": "E(t(t)*2|)*3L"},
            "the layout 'E(t(t)*2|)*3L': expected E, t, m and L between |, found '('",
        ),
        (
            {"by": "Et*99999|L"},
            "the layout 'Et*99999|L': expected at most 65536 things, found 99999",
        ),
        (
            {"by": [["embedding", "decoder"], ["decodr", "loss"]]},
            (
                "the layout [['embedding', 'decoder'], ['decodr', 'loss']]: "
                "expected embedding, decoder, mtp, loss, found 'decodr'"
            ),
        ),
        (
            {"by": [["embedding"], 8]},
            "the layout [['embedding'], 8]: expected a list of words a stage, found 8",
        ),
        (
            {"by": "Ettt|tttttL", "first": 3},
            (
                "pp=2: the layout 'Ettt|tttttL': expected nothing else that says the layers of a stage, "
                "neither first nor last nor counted ones"
            ),
        ),
        (
            {"virtual": 3},
            "pp=2: 8 layers do not divide over 2 stages of 3 virtual ones; choose another pp or uneven stages",
        ),
        (
            {"virtual": 2, "first": 3},
            "pp=2: a stage of 3 layers does not divide into 2 virtual stages",
        ),
        ({"by": 8}, "pp=2: expected a list, found 8"),
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
        chunks(8, "pp", 2, **given)  # type: ignore[arg-type]
    assert str(error.value) == message


# A layout, its layers, the stages, and the layers of each chunk.
LAYOUTS = [
    ("Ettt|(tt|)*3,mL", 9, 5, [3, 2, 2, 2, 0]),
    ("Et*3|t*2|ttm*2L", 7, 3, [3, 2, 2]),
    ("E|t|tt,|L", 3, 2, [0, 1, 2, 0]),
    ("E,t|(t|t)*2,L", 5, 2, [1, 1, 2, 1]),
    ("Et|*2tttL", 4, 3, [1, 0, 3]),
    ([["embedding", "decoder"], [" Decoder", "mtp", "loss"]], 2, 2, [1, 1]),
    ("EttL", 2, 1, [2]),
]


@pytest.mark.parametrize(("layout", "layers", "pieces", "counts"), LAYOUTS)
def test_layouts(layout: object, layers: int, pieces: int, counts: list[int]) -> None:
    assert chunks(layers, "pp", pieces, by=layout) == counts  # type: ignore[arg-type]


def test_shares_are_contiguous() -> None:
    assert shares("X", 6, "ep", 3) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    with pytest.raises(ConversionError, match="X = 6 is not a multiple of ep=4"):
        shares("X", 6, "ep", 4)
