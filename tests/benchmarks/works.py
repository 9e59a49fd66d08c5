"""What is measured, and what it must reach."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

BOTH = (1, 2)


@dataclass(frozen=True)
class Copy:
    """A conversion from folder to folder beside `cp` of its source, or with `dtype` beside `cp` of what it writes.

    With `back`, the source is what the same conversion wrote going there; with `beside`, the time that another model of
    as many bytes takes stands for that of `cp`. `must` is the highest ratio, by number of threads. `preload` names the
    packages that are imported before the clock starts.
    """

    name: str
    model: str
    map: str
    layouts: tuple[str, str]
    must: Mapping[int, float]
    ranks: int = 1
    back: bool = False
    cold: bool = False
    dtype: str | None = None
    beside: str | None = None
    preload: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command, without its folders; going back, a source says itself what its mesh is."""
        dtype = ("--dtype", self.dtype) if self.dtype else ()
        return (f"to-{self.layouts[0]}",) if self.back else (*self.there, *dtype)

    @property
    def there(self) -> tuple[str, ...]:
        """The command of the way there."""
        mesh = () if self.ranks == 1 else ("--tp", str(self.ranks))
        return (f"to-{self.layouts[1]}", *mesh)


@dataclass(frozen=True)
class Plan:
    """`--plan`, which reads and checks everything but the data. `must` is in seconds."""

    name: str
    model: str
    map: str
    arguments: tuple[str, ...]
    must: float | None = None


@dataclass(frozen=True)
class Memory:
    """Peak anonymous memory over that of the bare interpreter. `must` is in bytes; `disk` is what the run needs."""

    name: str
    model: str
    map: str
    arguments: tuple[str, ...]
    must: float
    disk: int = 0


@dataclass(frozen=True)
class Promise:
    """The smallest `--max-memory` that is accepted, and whether the peak of the whole process stays below."""

    name: str
    model: str
    map: str
    arguments: tuple[str, ...]
    disk: int = 0


@dataclass(frozen=True)
class StartUp:
    """A converter that is only asked something. `must` is in seconds; no process may import `without`."""

    name: str
    map: str
    flag: str
    must: float
    without: tuple[str, ...] = ("torch", "numpy")


@dataclass(frozen=True)
class Peer:
    """The same conversion by other software; what it writes is compared as well."""

    peer: str
    copy: Copy

    @property
    def name(self) -> str:
        return f"{self.copy.name} vs {self.peer}"

    @property
    def job(self) -> str:
        """What the conversion is called in the modules of peers/."""
        return self.copy.map + (" back" if self.copy.back else "")


Work = Copy | Plan | Memory | Promise | StartUp | Peer

MEGATRON = ("hf", "mcore")
HUB = ("hub", "module")
OLMO = ("hf", "olmo")
OTHER = ("hf", "other")
MB, GB = 10**6, 10**9
MANY = ("to-mcore", "--max-shard-size", "75MB")
TP4 = ("to-mcore", "--tp", "4")

PLAIN = {1: 0.7, 2: 0.5}
STRIDED = {1: 0.8, 2: 0.5}
COLD = dict.fromkeys(BOTH, 1.1)
TURN = dict.fromkeys(BOTH, 3.5)
CAST = dict.fromkeys(BOTH, 1.3)

LLAMA_1 = Copy("llama tp=1", "llama", "llama", MEGATRON, PLAIN)
LLAMA_4 = Copy("llama tp=4", "llama", "llama", MEGATRON, STRIDED, 4)
STACKED = Copy("mixtral stacked", "mixtral", "mixtral", HUB, STRIDED)
TURNED = Copy("experts turned", "experts", "experts", OLMO, TURN)


def back(copy: Copy) -> Copy:
    return replace(copy, name=f"{copy.name} back", back=True)


def cold(copy: Copy) -> Copy:
    return replace(copy, name=f"{copy.name} cold", cold=True, must=COLD)


def both(copy: Copy, *peers: str) -> tuple[Work, ...]:
    """There and back, beside cp and beside the peers that can do it."""
    ways = (copy, back(copy))
    return (*ways, *(Peer(peer, way) for peer in peers for way in ways))


STARTS = (
    StartUp("start-up --version", "llama", "--version", 0.15),
    StartUp("start-up --help", "llama", "--help", 0.15),
)
CASTS = tuple(
    Copy(name, model, "matrices", OTHER, CAST, dtype=dtype, preload=preload)
    for model, dtype in (("matrices-bf16", "f32"), ("matrices-f32", "bf16"))
    for preload, name in (
        ("", f"cast to {dtype}"),
        ("torch", f"cast to {dtype}, torch there"),
    )
)
SMALL = Copy(
    "45,000 tensors of 4 KB",
    "45000-small",
    "matrices",
    OTHER,
    dict.fromkeys(BOTH, 1.5),
    beside="45-large",
)
PLANS = (
    Plan("plan 45,000 tensors", "45000-small", "matrices", ("to-other",)),
    Plan("plan 90,000 tensors", "deepseek", "deepseek", MANY, 1.0),
)
MEMORY = (
    Memory("memory 1,000 tensors", "1000-tensors", "matrices", ("to-other",), 64 * MB),
    Memory(
        "memory 90,000 tensors", "90000-tensors", "matrices", ("to-other",), 350 * MB
    ),
    Memory("memory plan 90,000", "deepseek", "deepseek", (*MANY, "--plan"), 350 * MB),
    Memory("memory 1 GB sparse", "llama-1gb", "llama", TP4, 64 * MB, 2 * GB),
    Memory("memory 20 GB sparse", "llama-20gb", "llama", TP4, 64 * MB, 25 * GB),
)
PROMISES = (
    Promise("max-memory 1 GB", "llama-1gb", "llama", TP4, 2 * GB),
    Promise("max-memory 20 GB", "llama-20gb", "llama", TP4, 25 * GB),
    Promise("max-memory turned", "experts", "experts", ("to-olmo",)),
    Promise(
        "max-memory cast", "matrices-bf16", "matrices", ("to-other", "--dtype", "f32")
    ),
)
WORKS: tuple[Work, ...] = (
    *STARTS,
    *both(LLAMA_1, "naive", "bridge"),
    *both(LLAMA_4, "naive"),
    cold(LLAMA_1),
    cold(LLAMA_4),
    *both(STACKED, "naive", "hf"),
    *both(TURNED, "naive", "olmo_core"),
    *CASTS,
    SMALL,
    *PLANS,
    *MEMORY,
    *PROMISES,
)


def models_of(work: Work) -> set[str]:
    """The models that a work reads."""
    match work:
        case StartUp():
            return set()
        case Peer():
            return {work.copy.model}
        case Copy(beside=str(other)):
            return {work.model, other}
        case _:
            return {work.model}


def shortened(works: tuple[Work, ...]) -> tuple[Work, ...]:
    """Each with one number of threads only, and none that another one with other packages loaded has done already."""
    return tuple(
        (
            replace(work, must=dict([*work.must.items()][-1:]))
            if isinstance(work, Copy)
            else work
        )
        for work in works
        if not (isinstance(work, Copy) and work.preload)
    )
